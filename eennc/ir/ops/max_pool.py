"""nn.max_pool."""

from __future__ import annotations

import numpy as np

from eennc.ir.op import Case, op
from eennc.ir.pooling import Pool
from eennc.ir.types import Array, DType, Layout, TensorType
from eennc.ir.windows import channels_first, laid_out


@op("nn.max_pool")
class MaxPool(Pool):
    """Largest value in each window. ONNX `MaxPool`."""

    def evaluate(self, x: Array) -> Array:
        """The maximum; padding never wins."""
        windows = self.windows()
        lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        views = windows.views(windows.padded(channels_first(x, self.x.type), lowest))
        return laid_out(views.max(axis=tuple(range(-len(windows.spatial), 0))), self.result.type)

    @classmethod
    def cases(cls) -> list[Case]:
        """Strides, pads, ceil mode; 1-D and 2-D."""
        image, signal = TensorType(("N", 3, 7, 6)), TensorType(("N", 2, 11))
        image_last = TensorType(("N", 7, 6, 3), DType.F32, Layout.CHANNELS_LAST)
        return [
            Case("plain", (image,), {"kernel": (2, 2), "strides": (2, 2)}),
            Case("padded", (image,), {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)}),
            Case("ceil", (image,), {"kernel": (3, 2), "strides": (3, 4), "ceil": True}),
            Case("ceil-padded", (image,), {"kernel": (2, 2), "strides": (3, 3), "pads": (1, 0, 1, 1), "ceil": True}),
            Case("dilated", (image,), {"kernel": (2, 3), "dilations": (3, 2)}),
            Case("last", (image_last,), {"kernel": (2, 3), "strides": (2, 1), "pads": (1, 0, 0, 1)}),
            Case("signal", (signal,), {"kernel": (3,), "strides": (2,), "pads": (1, 0)}),
        ]
