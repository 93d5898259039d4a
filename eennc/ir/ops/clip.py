"""nn.clip."""

from __future__ import annotations

import math

import numpy as np

from eennc.ir.fields import number, tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.types import Array, TensorType


@op("nn.clip")
class Clip(Op):
    """x limited to [minimum, maximum], elementwise. ONNX `Clip` with constant limits."""

    x = tensor(floats=True)
    minimum = number(-math.inf)
    maximum = number(math.inf)

    def infer(self) -> TensorType:
        """The operand's type."""
        return self.x.type

    def evaluate(self, x: Array) -> Array:
        """The numpy meaning."""
        return np.clip(x, x.dtype.type(self.minimum), x.dtype.type(self.maximum))

    @classmethod
    def cases(cls) -> list[Case]:
        """A feature map and a vector."""
        return [
            Case("relu6", (TensorType(("N", 3, 4, 4)),), {"minimum": 0.0, "maximum": 1.5}),
            Case("above", (TensorType(("N", 5)),), {"minimum": -0.5}),
        ]
