"""Progress on stderr: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from eennc.ir.graph import Module
from eennc.passes.base import Pass
from eennc.support.instruments import Progress, Silent

EVERY = 5.0
"""Seconds between plain lines of one task."""


def progress_for(quiet: bool) -> AbstractContextManager[Progress]:
    """What shows progress: nothing, bars, or lines. To be used in a `with`."""
    if quiet:
        return _Quiet()
    return _Bars() if sys.stderr.isatty() else _Lines()


class _Quiet(Silent, AbstractContextManager[Progress]):
    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class _Lines(AbstractContextManager[Progress]):
    """One line when a task begins, and now and then."""

    def __init__(self) -> None:
        self._tasks: list[tuple[str, int]] = []
        self._done: list[int] = []
        self._last: list[float] = []

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def task(self, label: str, total: int) -> int:
        """Say that it begins."""
        self._tasks.append((label, total))
        self._done.append(0)
        self._last.append(time.monotonic())
        return len(self._tasks) - 1

    def advance(self, task: int, steps: int) -> None:
        """Say how far it is, every few seconds."""
        self._done[task] += steps
        if time.monotonic() - self._last[task] >= EVERY:
            self._last[task] = time.monotonic()
            label, total = self._tasks[task]
            self.note(f"{label}: {100 * self._done[task] // max(total, 1)} %")

    def finish(self, task: int) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """A line."""
        print(f"  {text}", file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        """A line."""
        print(f"warning: {text}", file=sys.stderr, flush=True)


class _Bars(AbstractContextManager[Progress]):
    """rich's bars."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._bars: Any = Progress(
            TextColumn("  {task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def task(self, label: str, total: int) -> int:
        """A bar."""
        return int(self._bars.add_task(label, total=total))

    def advance(self, task: int, steps: int) -> None:
        """Move the bar."""
        self._bars.advance(task, steps)

    def finish(self, task: int) -> None:
        """Take the bar away."""
        self._bars.remove_task(task)

    def note(self, text: str) -> None:
        """A line above the bars."""
        self._bars.console.print(f"  {text}", markup=False, highlight=False)

    def warn(self, text: str) -> None:
        """A line above the bars."""
        self._bars.console.print(f"warning: {text}", markup=False, highlight=False, style="yellow")


class Stages:
    """An instrument that says which pass runs."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def before(self, p: Pass, module: Module) -> None:
        """Name it."""
        self._progress.note(p.name)

    def after(self, p: Pass, module: Module, changed: bool, seconds: float) -> None:
        """Nothing."""
