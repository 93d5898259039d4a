"""q.max_pool."""

from __future__ import annotations

from eennc.ir.op import Case, op
from eennc.ir.ops.max_pool import MaxPool
from eennc.ir.quantised import quant_of
from eennc.ir.types import DType, Layout, Quant, TensorType


@op("q.max_pool")
class QMaxPool(MaxPool):
    """Largest value in each window, by the scale and zero point of x. TFLite `MAX_POOL_2D`."""

    def verify(self) -> None:
        """Quantised."""
        quant_of(self, self.x.type, "x")

    @classmethod
    def cases(cls) -> list[Case]:
        """Strides and pads; both layouts."""
        image = TensorType(("N", 3, 7, 6), DType.I8, None, Quant(0.1, -20))
        last = TensorType(("N", 7, 6, 3), DType.I8, Layout.CHANNELS_LAST, Quant(0.1, -20))
        return [
            Case("plain", (image,), {"kernel": (2, 2), "strides": (2, 2)}),
            Case("padded", (image,), {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)}),
            Case("last", (last,), {"kernel": (3, 3), "strides": (2, 2)}),
        ]
