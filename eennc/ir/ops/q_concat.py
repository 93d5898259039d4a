"""q.concat."""

from __future__ import annotations

from eennc.ir.op import Case, op
from eennc.ir.ops.concat import Concat
from eennc.ir.quantised import quant_of
from eennc.ir.types import DType, Quant, TensorType


@op("q.concat")
class QConcat(Concat):
    """Operands of one scale and zero point behind each other along an axis. TFLite `CONCATENATION`."""

    def verify(self) -> None:
        """One quantisation."""
        quants = {quant_of(self, x.type, "xs") for x in self.xs}
        if len(quants) > 1:
            raise self.fail(f"operands must have one scale and zero point, not {', '.join(sorted(map(str, quants)))}")

    @classmethod
    def cases(cls) -> list[Case]:
        """Two."""
        quant = Quant(0.1, -20)
        image, other = (TensorType(("N", c, 2, 2), DType.I8, None, quant) for c in (3, 2))
        return [Case("channels", (image, other), {"axis": 1})]
