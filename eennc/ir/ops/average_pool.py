"""nn.average_pool."""

from __future__ import annotations

import numpy as np

from eennc.ir.fields import flag, tensor
from eennc.ir.op import Case, op
from eennc.ir.pooling import Pool
from eennc.ir.types import Array, DType, Layout, TensorType
from eennc.ir.windows import channels_first, laid_out


@op("nn.average_pool")
class AveragePool(Pool):
    """Mean of each window, over the input's elements or (`count_include_pad`) over the padding too. ONNX
    `AveragePool`."""

    x = tensor(floats=True)
    count_include_pad = flag(False)

    def evaluate(self, x: Array) -> Array:
        """Sums over counts."""
        windows = self.windows()
        axes = tuple(range(-len(windows.spatial), 0))
        sums = windows.views(windows.padded(channels_first(x, self.x.type), 0)).sum(axis=axes, dtype=x.dtype)
        counted = np.ones((1, 1, *windows.spatial), x.dtype)
        if self.count_include_pad:
            # explicit padding counts, what ceil mode reaches beyond it does not
            pads = [(0, 0), (0, 0), *zip(windows.begins, windows.ends, strict=True)]
            whole = np.pad(counted, pads, constant_values=1)
            beyond = windows.padded(counted, 0).shape
            after = [(0, large - small) for large, small in zip(beyond, whole.shape, strict=True)]
            counts = windows.views(np.pad(whole, after)).sum(axis=axes)
        else:
            counts = windows.views(windows.padded(counted, 0)).sum(axis=axes)
        return laid_out(sums / counts, self.result.type)

    @classmethod
    def cases(cls) -> list[Case]:
        """Strides, pads, ceil mode; 1-D and 2-D."""
        image, signal = TensorType(("N", 3, 7, 6)), TensorType(("N", 2, 11))
        image_last = TensorType(("N", 7, 6, 3), DType.F32, Layout.CHANNELS_LAST)
        return [
            Case("plain", (image,), {"kernel": (2, 2), "strides": (2, 2)}),
            Case("exclude", (image,), {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)}),
            Case("include", (image,), {"kernel": (3, 3), "pads": (1, 1, 1, 0), "count_include_pad": True}),
            Case("ceil", (image,), {"kernel": (3, 2), "strides": (3, 4), "ceil": True}),
            Case(
                "ceil-include",
                (image,),
                {
                    "kernel": (3, 3),
                    "strides": (2, 3),
                    "pads": (0, 1, 0, 1),
                    "ceil": True,
                    "count_include_pad": True,
                },
            ),
            Case("last", (image_last,), {"kernel": (2, 3), "strides": (2, 1), "pads": (1, 0, 0, 1)}),
            Case("signal", (signal,), {"kernel": (3,), "strides": (2,), "pads": (1, 0)}),
        ]
