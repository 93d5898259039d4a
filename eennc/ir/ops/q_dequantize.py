"""q.dequantize."""

from __future__ import annotations

import numpy as np

from eennc.ir.fields import tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.quantised import quant_of
from eennc.ir.types import Array, DType, Quant, TensorType


@op("q.dequantize")
class Dequantize(Op):
    """int8 to floats: scale * (x - zero_point). TFLite `DEQUANTIZE`."""

    x = tensor()

    def infer(self) -> TensorType:
        """The shape, as float32."""
        quant_of(self, self.x.type, "x")
        return TensorType(self.x.type.shape, DType.F32, self.x.type.layout)

    def evaluate(self, x: Array) -> Array:
        """In float32."""
        quant = quant_of(self, self.x.type, "x")
        return (x.astype(np.int32) - quant.zero_point).astype(np.float32) * np.float32(quant.scale)

    @classmethod
    def cases(cls) -> list[Case]:
        """Rows."""
        return [Case("rows", (TensorType(("N", 5), DType.I8, None, Quant(0.1, -7)),))]
