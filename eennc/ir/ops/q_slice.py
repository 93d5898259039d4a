"""q.slice."""

from __future__ import annotations

from eennc.ir.op import Case, op
from eennc.ir.ops.slice import Slice
from eennc.ir.quantised import quant_of
from eennc.ir.types import DType, Quant, TensorType


@op("q.slice")
class QSlice(Slice):
    """x[starts:ends:steps] along `axes`. TFLite `STRIDED_SLICE`."""

    def verify(self) -> None:
        """Quantised."""
        super().verify()
        quant_of(self, self.x.type, "x")

    @classmethod
    def cases(cls) -> list[Case]:
        """Strided."""
        image = TensorType(("N", 3, 6, 7), DType.I8, None, Quant(0.1, 3))
        return [Case("stride", (image,), {"starts": (0, 1), "ends": (6, 9), "axes": (2, 3), "steps": (2, 2)})]
