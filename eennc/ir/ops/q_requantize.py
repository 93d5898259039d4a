"""q.requantize."""

from __future__ import annotations

import numpy as np

from eennc.ir.fields import choice, tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.quantised import multipliers, quant_of, quantised, scale_field, stored, zero_point_field
from eennc.ir.types import Array, DType, Quant, TensorType


@op("q.requantize")
class Requantize(Op):
    """The same real numbers by another scale and zero point, with or without an activation. TFLite `QUANTIZE` of int8,
    `RELU`, `RELU6`.
    """

    x = tensor()
    activation = choice("none", "relu", "relu6", default="none")
    scale = scale_field()
    zero_point = zero_point_field()

    def verify(self) -> None:
        """The factor must fit."""
        multipliers(self, [self.factor()])

    def factor(self) -> float:
        """The old scale over the new one."""
        return quant_of(self, self.x.type, "x").scale / Quant(self.scale).scale

    def infer(self) -> TensorType:
        """The shape."""
        return quantised(self, self.x.type, self.scale, self.zero_point)

    def evaluate(self, x: Array) -> Array:
        """In integers."""
        quant = quant_of(self, self.x.type, "x")
        new = Quant(self.scale, self.zero_point)
        return stored(self, x.astype(np.int64) - quant.zero_point, [self.factor()], new, self.activation)

    @classmethod
    def cases(cls) -> list[Case]:
        """Finer, coarser, with activations."""
        type = TensorType(("N", 5), DType.I8, None, Quant(0.1, -7))
        return [
            Case("finer", (type,), {"scale": 0.03, "zero_point": 4}),
            Case("coarser", (type,), {"scale": 0.25, "zero_point": -128, "activation": "relu"}),
            Case("relu6", (type,), {"scale": 0.05, "zero_point": -128, "activation": "relu6"}),
        ]
