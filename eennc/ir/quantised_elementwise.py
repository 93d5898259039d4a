"""What additions of quantised tensors share."""

from __future__ import annotations

import numpy as np

from eennc.ir.activations import activation_field
from eennc.ir.axes import broadcast_type
from eennc.ir.fields import tensor
from eennc.ir.fixed_point import Ints, requantise
from eennc.ir.op import Case, Op
from eennc.ir.quantised import multipliers, quant_of, quantised, scale_field, stored, zero_point_field
from eennc.ir.types import Array, DType, Quant, TensorType

HEADROOM = 20
"""Bits by which both operands are shifted left before they are brought to one scale."""


class QuantisedElementwise(Op):
    """Two int8 operands that broadcast as in numpy."""

    a = tensor()
    b = tensor()
    activation = activation_field()
    scale = scale_field()
    zero_point = zero_point_field()

    def infer(self) -> TensorType:
        """The broadcast shape."""
        for name, value in (("a", self.a), ("b", self.b)):
            quant_of(self, value.type, name)
        return quantised(self, broadcast_type(self, self.a.type, self.b.type), self.scale, self.zero_point)

    def quants(self) -> tuple[Quant, Quant, Quant]:
        """Those of a, b and the result."""
        return quant_of(self, self.a.type, "a"), quant_of(self, self.b.type, "b"), Quant(self.scale, self.zero_point)

    def centred(self, a: Array, b: Array) -> tuple[Ints, Ints]:
        """The operands without their zero points."""
        first, second, _ = self.quants()
        return a.astype(np.int64) - first.zero_point, b.astype(np.int64) - second.zero_point

    @classmethod
    def cases(cls) -> list[Case]:
        """Equal shapes, a value per channel, an activation."""
        image = TensorType(("N", 3, 2, 2), DType.I8, None, Quant(0.05, -3))
        other = TensorType(("N", 3, 2, 2), DType.I8, None, Quant(0.02, 90))
        channel = TensorType(("N", 3, 1, 1), DType.I8, None, Quant(0.03, 0))
        return [
            Case("values", (image, other), {"scale": 0.1, "zero_point": 5}),
            Case("channel", (image, channel), {"scale": 0.06}),
            Case("relu", (image, other), {"scale": 0.04, "zero_point": -128, "activation": "relu"}),
        ]


class QuantisedSum(QuantisedElementwise):
    """a + b, or a - b, brought to one scale with 20 bits to spare. TFLite `ADD`, `SUB`."""

    sign = 1

    def factors(self) -> tuple[float, float, float]:
        """Of a, of b, and of their sum."""
        a, b, y = self.quants()
        twice = 2 * max(a.scale, b.scale)
        return a.scale / twice, b.scale / twice, twice / ((1 << HEADROOM) * y.scale)

    def verify(self) -> None:
        """The last factor must be below one."""
        factors = self.factors()
        multipliers(self, list(factors))
        if factors[-1] >= 1:
            raise self.fail(
                f"the result's scale {self.scale} is too fine for operands of {self.a.type} and {self.b.type}"
            )

    def evaluate(self, a: Array, b: Array) -> Array:
        """In integers."""
        factors = self.factors()
        (m, n, _), (s, t, _) = multipliers(self, list(factors))
        x, y = self.centred(a, b)
        total = requantise(x << HEADROOM, m, s) + self.sign * requantise(y << HEADROOM, n, t)
        return stored(self, total, [factors[-1]], self.quants()[2], self.activation)
