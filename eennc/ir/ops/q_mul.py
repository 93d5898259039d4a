"""q.mul."""

from __future__ import annotations

from eennc.ir.op import op
from eennc.ir.quantised import multipliers, stored
from eennc.ir.quantised_elementwise import QuantisedElementwise
from eennc.ir.types import Array


@op("q.mul")
class QMul(QuantisedElementwise):
    """a * b, elementwise, with numpy's broadcasting. TFLite `MUL`."""

    def factor(self) -> float:
        """From products to the result."""
        a, b, y = self.quants()
        return a.scale * b.scale / y.scale

    def verify(self) -> None:
        """The factor must fit."""
        multipliers(self, [self.factor()])

    def evaluate(self, a: Array, b: Array) -> Array:
        """In integers."""
        x, y = self.centred(a, b)
        return stored(self, x * y, [self.factor()], self.quants()[2], self.activation)
