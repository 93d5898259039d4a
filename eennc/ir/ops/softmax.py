"""nn.softmax."""

from __future__ import annotations

import numpy as np

from eennc.ir.axes import keep_samples, normal_axes
from eennc.ir.fields import integer, tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.types import Array, TensorType


@op("nn.softmax")
class Softmax(Op):
    """exp(x) / sum exp(x) along an axis. ONNX `Softmax` (opset 13)."""

    x = tensor(floats=True)
    axis = integer(-1)

    def infer(self) -> TensorType:
        """The operand's type."""
        keep_samples(self, self.x.type, normal_axes(self, (self.axis,), self.x.type.rank))
        return self.x.type

    def evaluate(self, x: Array) -> Array:
        """The numpy meaning."""
        shifted = np.exp(x - x.max(axis=self.axis, keepdims=True))
        return shifted / shifted.sum(axis=self.axis, keepdims=True)

    @classmethod
    def cases(cls) -> list[Case]:
        """A feature map and a vector."""
        return [Case("rows", (TensorType(("N", 5)),)), Case("channels", (TensorType(("N", 5, 2, 3)),), {"axis": 1})]
