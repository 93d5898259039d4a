"""nn.unsqueeze."""

from __future__ import annotations

import numpy as np

from eennc.ir.axes import normal_axes
from eennc.ir.fields import ints, tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.types import Array, Dim, TensorType


@op("nn.unsqueeze")
class Unsqueeze(Op):
    """x with axes of size 1 put in; `axes` count in the result. ONNX `Unsqueeze` with constant axes."""

    x = tensor()
    axes = ints()

    def infer(self) -> TensorType:
        """The shape with ones."""
        rank = self.x.type.rank + len(self.axes)
        axes = normal_axes(self, self.axes, rank)
        rest = iter(self.x.type.shape)
        shape: list[Dim] = [1 if i in axes else next(rest) for i in range(rank)]
        return self.x.type.with_shape(shape)

    def evaluate(self, x: Array) -> Array:
        """The numpy meaning."""
        return np.expand_dims(x, self.axes)

    @classmethod
    def cases(cls) -> list[Case]:
        """Behind, and between."""
        return [
            Case("behind", (TensorType(("N", 3)),), {"axes": (2, 3)}),
            Case("between", (TensorType(("N", 3)),), {"axes": (-2,)}),
        ]
