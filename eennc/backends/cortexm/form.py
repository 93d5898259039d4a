"""What a kernel folder's Python file says of an op: which kernel computes it, and what that needs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from eennc.backends.cortexm.writer import C_TYPES, Writer
from eennc.ir.op import OPS, Op
from eennc.ir.ops.opaque import WHY
from eennc.support.registry import Registry, import_folder

LARGEST_SIDE = 2**15 - 1
"""Of a feature map, a kernel, a number of channels: descriptions hold them in 16 bits."""
LARGEST_SUM = 2**30
"""Sums of products stay below, so that the fast fixed-point multiplication is exact."""
DEEPEST = LARGEST_SUM // (255 * 128)
"""Products in one sum of int8: with any zero point they stay below LARGEST_SUM."""


class Form:
    """How one op is computed in C. The default is a view: the result is the operand's bytes."""

    def __init__(self, op: Any) -> None:
        self.op = op

    def objection(self) -> str | None:
        """Why the op cannot be computed, in words that follow its name; asked in either layout, before or after
        quantisation.
        """
        return None

    @property
    def view(self) -> bool:
        """Whether nothing is computed."""
        return type(self).write is Form.write

    def in_place(self) -> tuple[int, ...]:
        """Operands whose memory the result may take."""
        return ()

    def scratch(self, *, dsp: bool) -> int:
        """Bytes that the kernel needs, in its plain variant or in any."""
        return 0

    def write(self, to: Writer) -> None:
        """Write the description, the weights and the call."""


FORMS: Registry[type[Form]] = Registry("op that there is a C kernel for")
FormClass = TypeVar("FormClass", bound=type[Form])


def computes(*ops: type[Op]) -> Callable[[FormClass], FormClass]:
    """Class decorator: the form is of these ops."""

    def register(cls: FormClass) -> FormClass:
        for op in ops:
            FORMS.add(op.name, cls)
        return cls

    return register


def form_of(op: Op) -> Form:
    """The form of an op; raises UserError where there is none."""
    load_forms()
    return FORMS.get(op.name)(op)


def objection(op: Op) -> str | None:
    """Why an op cannot be computed, or None."""
    load_forms()
    if op.name not in FORMS:
        return str(op.notes.get(WHY, "there is no C kernel for it"))
    for value in (*op.inputs, *op.results):
        if value.type.dtype not in C_TYPES:
            return f"it is of {value.type.dtype}, and the kernels are for f32 and int8"
        if value.type.known and max(value.type.concrete(1), default=1) > LARGEST_SIDE:
            return f"{value.type} has a side above {LARGEST_SIDE:,}, the kernels' limit"
    return form_of(op).objection()


@functools.cache
def load_forms() -> None:
    """Import every form, so that it registers itself."""
    import eennc.ir.ops
    from eennc.backends.cortexm import kernels

    if not len(OPS):
        import_folder(eennc.ir.ops)
    import_folder(kernels)
