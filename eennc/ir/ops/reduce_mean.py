"""nn.reduce_mean."""

from __future__ import annotations

import numpy as np

from eennc.ir.axes import keep_samples, normal_axes
from eennc.ir.fields import flag, ints, tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.types import Array, TensorType


@op("nn.reduce_mean")
class ReduceMean(Op):
    """Mean over some axes, which stay as ones or go. ONNX `ReduceMean` with constant axes."""

    x = tensor(floats=True)
    axes = ints()
    keepdims = flag(True)

    def infer(self) -> TensorType:
        """The shape with the axes at 1, or without them."""
        axes = normal_axes(self, self.axes, self.x.type.rank)
        keep_samples(self, self.x.type, axes)
        shape = [1 if i in axes else dim for i, dim in enumerate(self.x.type.shape)]
        if not self.keepdims:
            shape = [dim for i, dim in enumerate(shape) if i not in axes]
        return self.x.type.with_shape(shape)

    def evaluate(self, x: Array) -> Array:
        """The numpy meaning."""
        return np.asarray(x.mean(axis=self.axes, keepdims=self.keepdims, dtype=x.dtype))

    @classmethod
    def cases(cls) -> list[Case]:
        """Kept and dropped axes, negative ones."""
        image = TensorType(("N", 3, 4, 5))
        return [Case("keep", (image,), {"axes": (2, 3)}), Case("drop", (image,), {"axes": (-1, -2), "keepdims": False})]
