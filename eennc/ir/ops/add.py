"""nn.add."""

from __future__ import annotations

import numpy as np

from eennc.ir.elementwise import Elementwise
from eennc.ir.op import op
from eennc.ir.types import Array


@op("nn.add")
class Add(Elementwise):
    """a + b, elementwise, with numpy's broadcasting. ONNX `Add`."""

    def evaluate(self, a: Array, b: Array) -> Array:
        """The numpy meaning."""
        return np.asarray(a + b)
