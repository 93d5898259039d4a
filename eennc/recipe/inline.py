"""Passes and backends from inline text: `find-exits,train-exits{epochs=3}`, `onnx{batch=free}`."""

from __future__ import annotations

from collections.abc import Mapping

from eennc.backends.base import BACKENDS, Backend
from eennc.passes.base import Pass
from eennc.passes.pipeline import build_passes
from eennc.support.diagnostics import Place, UserError, unknown
from eennc.support.options import PlaceOf, build, parse_inline


def inline_passes(text: str, what: str = "-p") -> list[Pass]:
    """The passes of an inline text; `what` stands for the file in messages. Raises UserError."""
    entries = parse_inline(text, what=what)
    if not entries:
        raise UserError("no pass is named", place=Place(what))
    return build_passes(entries, lambda path: Place(what))


def build_backend(text: str, what: str = "-b", place: Place | None = None) -> Backend:
    """The backend of an inline text; raises UserError."""
    try:
        entries = parse_inline(text, what=what)
    except UserError as error:
        if place is not None:
            error.place = place
        raise
    if len(entries) != 1:
        raise UserError(f"'{text}' is not the name of one backend", place=place or Place(what))
    name, options = entries[0]
    return make_backend(name, options, lambda path: place or Place(what))


def make_backend(name: str, options: Mapping[str, object], place_of: PlaceOf) -> Backend:
    """The backend called `name` with these options; raises UserError."""
    if name not in BACKENDS:
        raise unknown("backend", name, BACKENDS, place=place_of(()))
    return build(BACKENDS.get(name), options, what=f"backend '{name}'", place_of=place_of)
