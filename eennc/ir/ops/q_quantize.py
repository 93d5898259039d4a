"""q.quantize."""

from __future__ import annotations

import numpy as np

from eennc.ir.fields import tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.quantised import clamped, quantised, scale_field, zero_point_field
from eennc.ir.types import Array, DType, Quant, TensorType


@op("q.quantize")
class Quantize(Op):
    """Floats to int8: round(x / scale) + zero_point, halves away from zero. TFLite `QUANTIZE`."""

    x = tensor(dtype=DType.F32)
    scale = scale_field()
    zero_point = zero_point_field()

    def infer(self) -> TensorType:
        """The shape, as int8."""
        return quantised(self, self.x.type, self.scale, self.zero_point)

    def evaluate(self, x: Array) -> Array:
        """In float32, as the kernel does."""
        quant = Quant(self.scale, self.zero_point)
        steps = x / np.float32(quant.scale)
        # values beyond int32 must not wrap
        steps = np.clip(steps, np.float32(-(2**30)), np.float32(2**30))
        rounded = np.copysign(np.floor(np.abs(steps) + np.float32(0.5)), steps)
        # the sum above rounds up the largest number below a half
        rounded = np.where(np.abs(steps) == np.float32(0.49999997), np.float32(0), rounded)
        return clamped(rounded.astype(np.int64) + quant.zero_point, quant)

    @classmethod
    def cases(cls) -> list[Case]:
        """A map and rows."""
        return [
            Case("map", (TensorType(("N", 3, 4, 4)),), {"scale": 0.02, "zero_point": -5}),
            Case("rows", (TensorType(("N", 5)),), {"scale": 0.01}),
        ]
