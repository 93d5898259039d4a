"""Where the forms register: writing functions by op, and what speaks against writing an op."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from eennc.ir.op import OPS, Op
from eennc.ir.ops.opaque import WHY
from eennc.support.registry import Registry, import_folder

if TYPE_CHECKING:
    from eennc.interop.tflite.builder import Subgraph

Writing = Callable[[Any, "Subgraph"], None]
"""Writes an op into a subgraph, and binds its results."""
Objection = Callable[[Any], "str | None"]
"""Why an op cannot be written, in words that follow its name, or None."""

WRITINGS: Registry[Writing] = Registry("op that TFLite has a form for")
OBJECTIONS: dict[str, Objection] = {}


def writes(*ops: type[Op]) -> Callable[[Writing], Writing]:
    """Decorator: the function writes these ops, as channels-last maps of two spatial axes and one sample."""

    def register(writing: Writing) -> Writing:
        for op in ops:
            WRITINGS.add(op.name, writing)
        return writing

    return register


def objects(*ops: type[Op]) -> Callable[[Objection], Objection]:
    """Decorator: the function says why one of these ops cannot be written."""

    def register(objection: Objection) -> Objection:
        for op in ops:
            OBJECTIONS[op.name] = objection
        return objection

    return register


def objection(op: Op) -> str | None:
    """Why an op cannot be written as TFLite, in either layout, or None."""
    load_forms()
    if op.name not in WRITINGS:
        return str(op.notes.get(WHY, "TFLite has no form for it"))
    judge = OBJECTIONS.get(op.name)
    return None if judge is None else judge(op)


@functools.cache
def load_forms() -> None:
    """Import every form, so that it registers itself."""
    import eennc.ir.ops
    from eennc.interop.tflite import forms

    if not len(OPS):
        import_folder(eennc.ir.ops)
    import_folder(forms)
