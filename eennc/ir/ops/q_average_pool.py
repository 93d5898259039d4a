"""q.average_pool."""

from __future__ import annotations

import numpy as np

from eennc.ir.fixed_point import rounded_divide
from eennc.ir.op import Case, op
from eennc.ir.pooling import Pool
from eennc.ir.quantised import quant_of
from eennc.ir.types import Array, DType, Layout, Quant, TensorType
from eennc.ir.windows import channels_first, laid_out


@op("q.average_pool")
class QAveragePool(Pool):
    """Mean of each window over the input's elements, rounded, by the scale and zero point of x. TFLite
    `AVERAGE_POOL_2D`.
    """

    def verify(self) -> None:
        """Quantised."""
        quant_of(self, self.x.type, "x")

    def evaluate(self, x: Array) -> Array:
        """In integers."""
        windows = self.windows()
        axes = tuple(range(-len(windows.spatial), 0))
        sums = windows.views(windows.padded(channels_first(x, self.x.type).astype(np.int32), 0)).sum(axis=axes)
        counts = windows.views(windows.padded(np.ones((1, 1, *windows.spatial), np.int64), 0)).sum(axis=axes)
        return laid_out(rounded_divide(sums, counts).astype(np.int8), self.result.type)

    @classmethod
    def cases(cls) -> list[Case]:
        """Strides and pads; both layouts."""
        image = TensorType(("N", 3, 7, 6), DType.I8, None, Quant(0.1, -20))
        last = TensorType(("N", 7, 6, 3), DType.I8, Layout.CHANNELS_LAST, Quant(0.1, -20))
        return [
            Case("plain", (image,), {"kernel": (2, 2), "strides": (2, 2)}),
            Case("padded", (image,), {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)}),
            Case("last", (last,), {"kernel": (3, 2), "strides": (2, 2)}),
        ]
