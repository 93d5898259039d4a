"""What a run says on stderr."""

import io

from eennc.cli.progress import progress_on


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def use(stream: io.StringIO, **how: bool) -> str:
    with progress_on(stream, **how) as progress:
        number = progress.task("train heads [all]", 1200)
        progress.advance(number, 600)
        progress.note("a [note]")
        progress.warn("mind this")
        progress.finish(number)
        progress.finish(progress.task("nothing to do", 0))
    return stream.getvalue()


def test_lines_without_a_terminal():
    lines = use(io.StringIO()).splitlines()
    assert lines[:3] == ["train heads [all] ...", "a [note]", "warning: mind this"]
    assert lines[3].startswith("train heads [all]: 1,200 in 0.")
    assert len(lines) == 4


def test_lines_where_the_ir_is_printed():
    assert use(Terminal(), lines=True).startswith("train heads [all] ...\n")


def test_bars_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    shown = use(Terminal())
    assert "a [note]" in shown
    assert "warning: mind this" in shown
    assert "\x1b" in shown


def test_nothing_when_quiet():
    assert use(io.StringIO(), quiet=True) == ""
    assert use(Terminal(), quiet=True) == ""
