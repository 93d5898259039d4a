"""Ops that bring elements to other places: eennc_copy."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from eennc.backends.cortexm.form import Form, computes
from eennc.backends.cortexm.writer import Writer
from eennc.ir.ops.concat import Concat
from eennc.ir.ops.pad import Pad
from eennc.ir.ops.q_concat import QConcat
from eennc.ir.ops.q_pad import QPad
from eennc.ir.ops.q_slice import QSlice
from eennc.ir.ops.q_transpose import QTranspose
from eennc.ir.ops.slice import Slice
from eennc.ir.ops.transpose import Transpose
from eennc.ir.quantised import quant_of
from eennc.ir.types import TensorType

AXES = 4
"""Loops of the kernel."""


def strides_of(shape: Sequence[int]) -> list[int]:
    """Elements from one entry of each axis to the next."""
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def copy_fields(sizes: Sequence[int], x: Sequence[int], y: Sequence[int], element: int) -> dict[str, object] | None:
    """The fields of eennc_copy_t for `sizes` elements per axis with these strides (in elements); None where the kernel
    has too few loops.
    """
    # axes that continue each other are one
    merged: list[tuple[int, int, int]] = []
    for size, step_x, step_y in zip(sizes, x, y, strict=True):
        if size == 1:
            continue
        if merged and merged[-1][1] == size * step_x and merged[-1][2] == size * step_y:
            merged[-1] = (merged[-1][0] * size, step_x, step_y)
        else:
            merged.append((size, step_x, step_y))
    run = 1
    if merged and merged[-1][1] == merged[-1][2] == 1:
        run = merged.pop()[0]
    if len(merged) > AXES:
        return None
    whole = [*[(1, 0, 0)] * (AXES - len(merged)), *merged]
    return {
        "size": [size for size, _, _ in whole],
        "x_stride": [step * element for _, step, _ in whole],
        "y_stride": [step * element for _, _, step in whole],
        "run": run * element,
    }


class CopyForm(Form):
    """Strided copies; a subclass says of what."""

    def copies(self) -> list[tuple[int, dict[str, object] | None, int, int]]:
        """(operand, description, elements from x's start, elements from y's start) per copy."""
        raise NotImplementedError

    def objection(self) -> str | None:
        """Too many axes."""
        if any(fields is None for _, fields, _, _ in self.copies()):
            return f"it moves more than {AXES} axes"
        return None

    def write(self, to: Writer) -> None:
        """The copies."""
        op = self.op
        element = op.result.type.dtype.bytes
        for operand, fields, x, y in self.copies():
            assert fields is not None
            described = to.description("eennc_copy_t", fields)
            source, target = to.at(op.operands[operand]), to.at(op.result)
            source = f"(const char *){source} + {x * element}" if x else source
            target = f"(char *){target} + {y * element}" if y else target
            to.call("eennc_copy", described, source, target)


@computes(Transpose, QTranspose)
class TransposeForm(CopyForm):
    """Reads in another order."""

    op: Transpose

    def copies(self) -> list[tuple[int, dict[str, object] | None, int, int]]:
        """One."""
        x, y = self.op.x.type, self.op.result.type
        strides = strides_of(x.concrete(1))
        perm = [axis % x.rank for axis in self.op.perm]
        fields = copy_fields(y.concrete(1), [strides[axis] for axis in perm], strides_of(y.concrete(1)), x.dtype.bytes)
        return [(0, fields, 0, 0)]


@computes(Slice, QSlice)
class SliceForm(CopyForm):
    """Reads some."""

    op: Slice

    def copies(self) -> list[tuple[int, dict[str, object] | None, int, int]]:
        """One."""
        x, y = self.op.x.type, self.op.result.type
        strides = strides_of(x.concrete(1))
        start = 0
        steps = list(strides)
        for axis, taken in self.op.ranges().items():
            start += taken.start * strides[axis]
            steps[axis] = strides[axis] * taken.step
        fields = copy_fields(y.concrete(1), steps, strides_of(y.concrete(1)), x.dtype.bytes)
        return [(0, fields, start, 0)]


@computes(Concat, QConcat)
class ConcatForm(CopyForm):
    """Writes each operand behind the last."""

    op: Concat

    def copies(self) -> list[tuple[int, dict[str, object] | None, int, int]]:
        """One per operand."""
        y = self.op.result.type
        strides = strides_of(y.concrete(1))
        axis = self.op.axis % y.rank
        found: list[tuple[int, dict[str, object] | None, int, int]] = []
        done = 0
        for number, x in enumerate(self.op.xs):
            shape = x.type.concrete(1)
            fields = copy_fields(shape, strides_of(shape), strides, y.dtype.bytes)
            found.append((number, fields, 0, done * strides[axis]))
            done += shape[axis]
        return found


@computes(Pad, QPad)
class PadForm(CopyForm):
    """Fills, then writes the middle."""

    op: Pad | QPad

    def copies(self) -> list[tuple[int, dict[str, object] | None, int, int]]:
        """One; none where all of x is cropped."""
        x, y = self.op.x.type, self.op.result.type
        rank = x.rank
        begins = self.op.pads[:rank]
        from_x, from_y = strides_of(x.concrete(1)), strides_of(y.concrete(1))
        sizes = [
            size + min(begin, 0) + min(end, 0)
            for size, begin, end in zip(x.concrete(1), begins, self.op.pads[rank:], strict=True)
        ]
        if min(sizes, default=1) < 1:
            return []
        start_x = sum(-min(begin, 0) * step for begin, step in zip(begins, from_x, strict=True))
        start_y = sum(max(begin, 0) * step for begin, step in zip(begins, from_y, strict=True))
        return [(0, copy_fields(sizes, from_x, from_y, x.dtype.bytes), start_x, start_y)]

    def write(self, to: Writer) -> None:
        """One element is repeated over the result first."""
        op, y = self.op, self.op.result.type
        value = op.value if isinstance(op, Pad) else quant_of(op, op.x.type, "x").zero_point
        filler = to.constant(np.array([value], y.dtype.numpy), "filler")
        to.call("eennc_copy", to.description("eennc_copy_t", _repeated(y)), filler, to.at(op.result))
        super().write(to)


def _repeated(y: TensorType) -> dict[str, object]:
    element = y.dtype.bytes
    return {
        "size": [1, 1, 1, y.elements()],
        "x_stride": [0, 0, 0, 0],
        "y_stride": [0, 0, 0, element],
        "run": element,
    }
