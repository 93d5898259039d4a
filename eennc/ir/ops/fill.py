"""nn.fill."""

from __future__ import annotations

import numpy as np

from eennc.ir.fields import choice, ints, number
from eennc.ir.op import Case, Op, op
from eennc.ir.types import Array, DType, TensorType, holds


@op("nn.fill")
class Fill(Op):
    """A tensor of one value. ONNX `ConstantOfShape` with a constant shape."""

    shape = ints(minimum=0)
    value = number(0.0)
    dtype = choice(*(dtype.value for dtype in DType), default="f32")

    def verify(self) -> None:
        """The dtype must hold the value."""
        if not holds(DType(self.dtype), self.value):
            raise self.fail(f"{self.value} is no {self.dtype}")

    def infer(self) -> TensorType:
        """The given shape and dtype."""
        return TensorType(self.shape, DType(self.dtype))

    def evaluate(self) -> Array:
        """The numpy meaning."""
        return np.full(self.shape, self.value, DType(self.dtype).numpy)

    @classmethod
    def cases(cls) -> list[Case]:
        """Floats and ints."""
        return [
            Case("floats", (), {"shape": (2, 3), "value": 0.25}),
            Case("ints", (), {"shape": (4,), "value": 7.0, "dtype": "i64"}),
        ]
