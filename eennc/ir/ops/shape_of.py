"""shape.of."""

from __future__ import annotations

import numpy as np

from eennc.ir.fields import tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.types import Array, DType, TensorType


@op("shape.of")
class ShapeOf(Op):
    """The shape of x, int64 [rank]. ONNX `Shape`."""

    x = tensor()

    def infer(self) -> TensorType:
        """[rank]."""
        return TensorType((self.x.type.rank,), DType.I64)

    def evaluate(self, x: Array) -> Array:
        """The numpy meaning."""
        return np.array(x.shape, np.int64)

    @classmethod
    def cases(cls) -> list[Case]:
        """A feature map."""
        return [Case("map", (TensorType(("N", 3, 4)),))]
