"""Progress on stderr: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TextIO

from eennc.ir.graph import Module
from eennc.passes.base import Pass
from eennc.support.instruments import Progress, Silent


@contextmanager
def progress_on(stream: TextIO, *, quiet: bool = False, lines: bool = False) -> Generator[Progress]:
    """Progress for a block: nothing where quiet, rich's bars on a terminal, lines elsewhere, or where asked for."""
    if quiet:
        yield Silent()
    elif stream.isatty() and not lines:
        with _bars(stream) as bars:
            yield bars
    else:
        yield Lines(stream)


class Lines:
    """A line when a task begins and when it has ended, and for each note and warning."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._tasks: dict[int, tuple[str, int, float]] = {}
        self._lock = threading.Lock()

    def task(self, label: str, total: int) -> int:
        """Say that it begins."""
        with self._lock:
            number = len(self._tasks)
            self._tasks[number] = (label, total, time.perf_counter())
        if total:
            self._say(f"{label} ...")
        return number

    def advance(self, task: int, steps: int) -> None:
        """Nothing: lines would be many."""

    def finish(self, task: int) -> None:
        """Say how long it took."""
        label, total, began = self._tasks[task]
        if total:
            self._say(f"{label}: {total:,} in {time.perf_counter() - began:.1f} s")

    def note(self, text: str) -> None:
        """A line."""
        self._say(text)

    def warn(self, text: str) -> None:
        """A line."""
        self._say(f"warning: {text}")

    def _say(self, text: str) -> None:
        with self._lock:
            self._stream.write(text + "\n")
            self._stream.flush()


@contextmanager
def _bars(stream: TextIO) -> Generator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    console = Console(file=stream, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with RichProgress(*columns, console=console, transient=True) as shown:
        yield Bars(shown)


class Bars:
    """A bar per task; notes and warnings above them."""

    def __init__(self, shown: object) -> None:
        from rich.progress import Progress as RichProgress

        assert isinstance(shown, RichProgress)
        self._shown = shown

    def task(self, label: str, total: int) -> int:
        """A new bar."""
        from rich.markup import escape

        return int(self._shown.add_task(escape(label), total=total, visible=total > 0))

    def advance(self, task: int, steps: int) -> None:
        """Move it."""
        from rich.progress import TaskID

        self._shown.advance(TaskID(task), steps)

    def finish(self, task: int) -> None:
        """Take it away."""
        from rich.progress import TaskID

        self._shown.remove_task(TaskID(task))

    def note(self, text: str) -> None:
        """A line above the bars."""
        self._shown.console.print(text, markup=False, style="dim")

    def warn(self, text: str) -> None:
        """A line above the bars."""
        self._shown.console.print(f"warning: {text}", markup=False, style="yellow")


class Stages:
    """An instrument: notes each pass that has run."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def before(self, p: Pass, module: Module) -> None:
        """Nothing."""

    def after(self, p: Pass, module: Module, changed: bool, seconds: float) -> None:
        """Name, time, whether it changed anything."""
        self._progress.note(f"{p.name}: {seconds:.2f} s{'' if changed else ', no change'}")
