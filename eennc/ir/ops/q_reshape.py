"""q.reshape."""

from __future__ import annotations

from eennc.ir.op import Case, op
from eennc.ir.ops.reshape import Reshape
from eennc.ir.quantised import quant_of
from eennc.ir.types import DType, Quant, TensorType


@op("q.reshape")
class QReshape(Reshape):
    """The same elements in another shape. TFLite `RESHAPE`."""

    def verify(self) -> None:
        """Quantised."""
        super().verify()
        quant_of(self, self.x.type, "x")

    @classmethod
    def cases(cls) -> list[Case]:
        """Flattened."""
        return [Case("flatten", (TensorType(("N", 3, 2, 2), DType.I8, None, Quant(0.1, 3)),), {"shape": (-1, 12)})]
