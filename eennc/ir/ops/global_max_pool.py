"""nn.global_max_pool."""

from __future__ import annotations

import numpy as np

from eennc.ir.fields import tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.types import Array, DType, Layout, TensorType
from eennc.ir.windows import channels_of, feature_map, spatial_axes, spatial_shape


@op("nn.global_max_pool")
class GlobalMaxPool(Op):
    """Largest value over the spatial axes, which stay as ones. ONNX `GlobalMaxPool`."""

    x = tensor(floats=True)

    def infer(self) -> TensorType:
        """One place for each channel."""
        spatial = spatial_shape(self, self.x.type, "x")
        return feature_map(self.x.type, channels_of(self.x.type), [1] * len(spatial))

    def evaluate(self, x: Array) -> Array:
        """The numpy meaning."""
        return np.asarray(x.max(axis=spatial_axes(self.x.type), keepdims=True))

    @classmethod
    def cases(cls) -> list[Case]:
        """A feature map and a signal."""
        last = TensorType(("N", 4, 5, 3), DType.F32, Layout.CHANNELS_LAST)
        return [
            Case("map", (TensorType(("N", 3, 4, 5)),)),
            Case("signal", (TensorType(("N", 3, 7)),)),
            Case("last", (last,)),
        ]
