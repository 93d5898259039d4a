"""nn.mul."""

from __future__ import annotations

import numpy as np

from eennc.ir.elementwise import Elementwise
from eennc.ir.op import op
from eennc.ir.types import Array


@op("nn.mul")
class Mul(Elementwise):
    """a * b, elementwise, with numpy's broadcasting. ONNX `Mul`."""

    def evaluate(self, a: Array, b: Array) -> Array:
        """The numpy meaning."""
        return np.asarray(a * b)
