"""nn.relu."""

from __future__ import annotations

import numpy as np

from eennc.ir.fields import tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.types import Array, TensorType


@op("nn.relu")
class Relu(Op):
    """max(x, 0), elementwise. ONNX `Relu`."""

    x = tensor()

    def infer(self) -> TensorType:
        """The operand's type."""
        return self.x.type

    def evaluate(self, x: Array) -> Array:
        """The numpy meaning."""
        return np.maximum(x, x.dtype.type(0))

    @classmethod
    def cases(cls) -> list[Case]:
        """A feature map and a vector."""
        return [Case("map", (TensorType(("N", 3, 4, 4)),)), Case("vector", (TensorType(("N", 5)),))]
