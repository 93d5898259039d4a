"""nn.gather."""

from __future__ import annotations

import numpy as np

from eennc.ir.axes import keep_samples, normal_axes
from eennc.ir.fields import integer, tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.types import Array, DType, TensorType
from eennc.ir.values import Weight


@op("nn.gather")
class Gather(Op):
    """Entries of x along an axis, by number; negative ones count from the back. ONNX `Gather`."""

    x = tensor()
    indices = tensor()
    axis = integer(0)

    def infer(self) -> TensorType:
        """x's shape with the axis replaced by the shape of the indices."""
        (axis,) = normal_axes(self, (self.axis,), self.x.type.rank)
        if self.indices.type.dtype not in (DType.I64, DType.I32):
            raise self.fail(f"operand 'indices' must be i64 or i32, not {self.indices.type}")
        keep_samples(self, self.x.type, (axis,))
        shape = self.x.type.shape
        size = shape[axis]
        if isinstance(self.indices, Weight) and isinstance(size, int):
            outside = (self.indices.array < -size) | (self.indices.array >= size)
            if outside.any():
                raise self.fail(f"operand 'indices' points outside of axis {axis} of {self.x.type}")
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
