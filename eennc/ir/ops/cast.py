"""nn.cast."""

from __future__ import annotations

import numpy as np

from eennc.ir.fields import choice, tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.types import Array, DType, TensorType


@op("nn.cast")
class Cast(Op):
    """x in another dtype. ONNX `Cast`."""

    x = tensor()
    to = choice(*(dtype.value for dtype in DType))

    def infer(self) -> TensorType:
        """The same shape."""
        return TensorType(self.x.type.shape, DType(self.to), self.x.type.layout)

    def evaluate(self, x: Array) -> Array:
        """The numpy meaning."""
        return np.asarray(x).astype(DType(self.to).numpy)

    @classmethod
    def cases(cls) -> list[Case]:
        """Bytes to float, float to int."""
        return [
            Case("bytes", (TensorType(("N", 3, 2), DType.U8),), {"to": "f32"}),
            Case("ints", (TensorType(("N", 3)),), {"to": "i32"}),
        ]
