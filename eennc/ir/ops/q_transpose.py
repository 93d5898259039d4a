"""q.transpose."""

from __future__ import annotations

from eennc.ir.op import Case, op
from eennc.ir.ops.transpose import Transpose
from eennc.ir.quantised import quant_of
from eennc.ir.types import DType, Quant, TensorType


@op("q.transpose")
class QTranspose(Transpose):
    """Axis i of the result is axis perm[i] of x. TFLite `TRANSPOSE`."""

    def verify(self) -> None:
        """Quantised."""
        quant_of(self, self.x.type, "x")

    @classmethod
    def cases(cls) -> list[Case]:
        """Channels to the end."""
        return [Case("last", (TensorType(("N", 3, 2, 4), DType.I8, None, Quant(0.1, 3)),), {"perm": (0, 2, 3, 1)})]
