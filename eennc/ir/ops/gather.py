"""nn.gather."""

from __future__ import annotations

import numpy as np

from eennc.ir.axes import normal_axes
from eennc.ir.fields import integer, tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.types import Array, TensorType


@op("nn.gather")
class Gather(Op):
    """Entries of x along an axis, by number; negative ones count from the back. ONNX `Gather`."""

    x = tensor()
    indices = tensor()
    axis = integer(0)

    def infer(self) -> TensorType:
        """x's shape with the axis replaced by the shape of the indices."""
        (axis,) = normal_axes(self, (self.axis,), self.x.type.rank)
        if self.indices.type.dtype.is_float:
            raise self.fail(f"operand 'indices' must be integers, not {self.indices.type}")
        shape = self.x.type.shape
        return TensorType((*shape[:axis], *self.indices.type.shape, *shape[axis + 1 :]), self.x.type.dtype)

    def evaluate(self, x: Array, indices: Array) -> Array:
        """The numpy meaning."""
        return np.take(x, indices, axis=self.axis)

    @classmethod
    def cases(cls) -> list[Case]:
        """A list, and a single entry."""
        image = TensorType(("N", 3, 4))
        return [
            Case("list", (image, np.array([2, 0, -1, 0], np.int64)), {"axis": 1}),
            Case("single", (image, np.array(1, np.int64)), {"axis": -1}),
        ]
