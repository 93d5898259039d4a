"""Output folders: whole or not at all, wherever an interrupt falls."""

from pathlib import Path

import pytest

from eennc.support.atomic import atomic_folder


def content(folder: Path) -> set[str]:
    return {path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("after", range(3))
def test_an_interrupt_at_the_swap_loses_nothing(tmp_path: Path, monkeypatch, after: int) -> None:
    """Ctrl-C behind each of the renames (and before the first)."""
    target = tmp_path / "build"
    target.mkdir()
    (target / "a").write_text("old")
    rename, calls = Path.rename, []

    def interrupted(self: Path, other: Path) -> Path:
        calls.append(self)
        if len(calls) == after + 1 and after < 2:
            made = rename(self, other) if after else None
            raise KeyboardInterrupt(made)
        return rename(self, other)

    def renamed_then_interrupted(self: Path, other: Path) -> Path:
        made = rename(self, other)
        calls.append(self)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return made

    monkeypatch.setattr(Path, "rename", renamed_then_interrupted if after == 2 else interrupted)
    with pytest.raises(KeyboardInterrupt), atomic_folder(target) as temporary:
        (temporary / "a").write_text("new")
    monkeypatch.undo()
    assert content(target) in ({"old"}, {"new"})
    assert [path.name for path in tmp_path.iterdir()] == ["build"]


def test_a_failure_inside_leaves_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "build"
    for text in ("old", "new"):
        with atomic_folder(target) as temporary:
            (temporary / "a").write_text(text)
        assert content(target) == {text}
    with pytest.raises(FileNotFoundError), atomic_folder(target) as temporary:
        (temporary / "no such folder" / "a").write_text("half")
    assert content(target) == {"new"}
    assert [path.name for path in tmp_path.iterdir()] == ["build"]
