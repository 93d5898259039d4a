"""Functions of single floats, and softmax."""

from __future__ import annotations

import math

import numpy as np

from eennc.backends.cortexm.form import Form, computes
from eennc.backends.cortexm.kernels.elementwise import only_floats
from eennc.backends.cortexm.writer import Writer
from eennc.ir.axes import normal_axes
from eennc.ir.ops.batch_norm import BatchNorm
from eennc.ir.ops.cast import Cast
from eennc.ir.ops.clip import Clip
from eennc.ir.ops.relu import Relu
from eennc.ir.ops.softmax import Softmax
from eennc.ir.types import DType, Layout


class FloatForm(Form):
    """One float at a time."""

    def objection(self) -> str | None:
        """Other numbers."""
        return only_floats(self)

    def in_place(self) -> tuple[int, ...]:
        """Number by number."""
        return (0,)


@computes(Relu, Clip)
class ClampForm(FloatForm):
    """eennc_clamp_f32."""

    op: Relu | Clip

    def write(self, to: Writer) -> None:
        """Two limits."""
        op = self.op
        low, high = (op.minimum, op.maximum) if isinstance(op, Clip) else (0.0, math.inf)
        # of limits that cross the upper one counts
        fields = {"size": op.result.type.elements(), "low": float(min(low, high)), "high": float(high)}
        to.call("eennc_clamp_f32", to.description("eennc_clamp_f32_t", fields), to.at(op.x), to.at(op.result))


@computes(BatchNorm)
class BatchNormForm(FloatForm):
    """eennc_affine_f32."""

    op: BatchNorm

    def objection(self) -> str | None:
        """What is no map, and other numbers."""
        rank = self.op.x.type.rank
        return f"its kernel is for at most four axes, not {rank}" if rank > 4 else super().objection()

    def write(self, to: Writer) -> None:
        """Channels are the last axis."""
        op = self.op
        assert op.x.type.layout is Layout.CHANNELS_LAST or op.x.type.rank == 2
        factor, shift = (part.astype(np.float32) for part in op.factors())
        fields = {
            "factor": to.constant(factor, "factor"),
            "shift": to.constant(shift, "shift"),
            "places": op.result.type.elements() // len(factor),
            "channels": len(factor),
        }
        to.call("eennc_affine_f32", to.description("eennc_affine_f32_t", fields), to.at(op.x), to.at(op.result))


@computes(Softmax)
class SoftmaxForm(FloatForm):
    """eennc_softmax_f32."""

    op: Softmax

    def write(self, to: Writer) -> None:
        """Along an axis."""
        op = self.op
        shape = op.result.type.concrete(1)
        (axis,) = normal_axes(op, (op.axis,), len(shape))
        fields = {
            "outer": math.prod(shape[:axis]),
            "classes": shape[axis],
            "inner": math.prod(shape[axis + 1 :]),
        }
        to.call("eennc_softmax_f32", to.description("eennc_softmax_f32_t", fields), to.at(op.x), to.at(op.result))


@computes(Cast)
class CastForm(Form):
    """eennc_cast_u8_f32."""

    op: Cast

    def objection(self) -> str | None:
        """Anything but bytes to floats."""
        given, made = self.op.x.type.dtype, self.op.result.type.dtype
        return None if (given, made) == (DType.U8, DType.F32) else f"its kernel casts u8 to f32, not {given} to {made}"

    def write(self, to: Writer) -> None:
        """Element by element."""
        op = self.op
        to.call("eennc_cast_u8_f32", str(op.result.type.elements()), to.at(op.x), to.at(op.result))
