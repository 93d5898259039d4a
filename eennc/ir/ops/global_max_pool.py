"""nn.global_max_pool."""

from __future__ import annotations

import numpy as np

from eennc.ir.fields import tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.types import Array, TensorType
from eennc.ir.windows import feature_map, spatial_shape


@op("nn.global_max_pool")
class GlobalMaxPool(Op):
    """Largest value over the spatial axes, which stay as ones. ONNX `GlobalMaxPool`."""

    x = tensor(floats=True)

    def infer(self) -> TensorType:
        """[n, c, 1, 1] or [n, c, 1]."""
        spatial = spatial_shape(self, self.x.type, "x")
        return feature_map(self.x.type, self.x.type.shape[1], [1] * len(spatial))

    def evaluate(self, x: Array) -> Array:
        """The numpy meaning."""
        return np.asarray(x.max(axis=tuple(range(2, x.ndim)), keepdims=True))

    @classmethod
    def cases(cls) -> list[Case]:
        """A feature map and a signal."""
        return [Case("map", (TensorType(("N", 3, 4, 5)),)), Case("signal", (TensorType(("N", 3, 7)),))]
