"""What a long run tells the world outside: stages, progress, warnings. Passes and training never print."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Receives what happens while a run goes on."""

    def task(self, label: str, total: int) -> int:
        """A piece of work of `total` steps begins; returns its number."""
        ...

    def advance(self, task: int, steps: int) -> None:
        """`steps` more steps of the task are done."""
        ...

    def finish(self, task: int) -> None:
        """The task has ended."""
        ...

    def note(self, text: str) -> None:
        """Something worth a line: a cache hit, a choice made."""
        ...

    def warn(self, text: str) -> None:
        """Something the user should know and may want to change."""
        ...


class Silent:
    """Progress that goes nowhere."""

    def task(self, label: str, total: int) -> int:
        """Ignore."""
        return 0

    def advance(self, task: int, steps: int) -> None:
        """Ignore."""

    def finish(self, task: int) -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""

    def warn(self, text: str) -> None:
        """Ignore."""


@contextmanager
def task(progress: Progress, label: str, total: int) -> Generator[int]:
    """Run a block as one task of `progress`."""
    number = progress.task(label, total)
    try:
        yield number
    finally:
        progress.finish(number)
