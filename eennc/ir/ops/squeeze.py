"""nn.squeeze."""

from __future__ import annotations

import numpy as np

from eennc.ir.axes import normal_axes
from eennc.ir.fields import ints, tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.types import Array, TensorType


@op("nn.squeeze")
class Squeeze(Op):
    """x without some axes of size 1. ONNX `Squeeze` with constant axes."""

    x = tensor()
    axes = ints()

    def infer(self) -> TensorType:
        """The shape without the axes."""
        axes = normal_axes(self, self.axes, self.x.type.rank)
        if any(self.x.type.shape[axis] not in (1, "?") for axis in axes):
            raise self.fail(f"axes {list(self.axes)} of {self.x.type} are not all 1")
        return self.x.type.with_shape([dim for i, dim in enumerate(self.x.type.shape) if i not in axes])

    def evaluate(self, x: Array) -> Array:
        """The numpy meaning."""
        return np.squeeze(x, axis=self.axes)

    @classmethod
    def cases(cls) -> list[Case]:
        """Spatial ones."""
        return [
            Case("spatial", (TensorType(("N", 3, 1, 1)),), {"axes": (2, 3)}),
            Case("negative", (TensorType(("N", 1, 3)),), {"axes": (-2,)}),
        ]
