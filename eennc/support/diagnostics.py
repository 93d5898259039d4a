"""Messages to the user: one message with a place, a reason and a hint."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the user's input a message points.

    Either a position in a text file (`passes.yaml:3:24`, lines and columns from 1) or a node of a
    model (`model.onnx node '/stage2/Conv'`).
    """

    file: str
    line: int | None = None
    column: int | None = None
    node: str | None = None
    excerpt: str | None = None
    """The source line, shown below the message with carets at `column`."""
    width: int = 1
    """Number of carets."""

    def __str__(self) -> str:
        text = self.file
        if self.line is not None:
            text += f":{self.line}"
            if self.column is not None:
                text += f":{self.column}"
        if self.node:
            text += f" node '{self.node}'"
        return text


class UserError(Exception):
    """The user's input is wrong: one message, no traceback, exit code 1.

    `message` says what is wrong, `place` where, `allowed` what would be right, `hint` what to do.
    """

    def __init__(
        self, message: str, *, place: Place | None = None, allowed: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.allowed = allowed
        self.hint = hint

    def render(self) -> str:
        """The whole message as it is printed."""
        place = self.place
        lines = [f"{place}: error: {self.message}" if place else f"error: {self.message}"]
        if place and place.excerpt is not None and place.line is not None:
            lines.append(f"  {place.line} | {place.excerpt}")
            if place.column is not None:
                lines.append(f"  {' ' * len(str(place.line))} | {' ' * (place.column - 1)}{'^' * place.width}")
        if self.allowed:
            lines.append(f"  {self.allowed}")
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.render()

    def at(self, place: Place) -> UserError:
        """The same error with `place`, unless it has one already."""
        if self.place is None:
            self.place = place
        return self


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint naming the known word nearest to `word`, or None where nothing is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else None


def unknown(kind: str, word: str, known: Iterable[str], *, place: Place | None = None) -> UserError:
    """The error for a name that no registry knows."""
    names = sorted(known)
    return UserError(
        f"unknown {kind} '{word}'",
        place=place,
        allowed=f"known: {', '.join(names)}" if names else None,
        hint=did_you_mean(word, names),
    )
