"""nn.div."""

from __future__ import annotations

import numpy as np

from eennc.ir.elementwise import Elementwise
from eennc.ir.op import op
from eennc.ir.types import Array


@op("nn.div")
class Div(Elementwise):
    """a / b, elementwise, with numpy's broadcasting; integers are cut towards 0. ONNX `Div`."""

    def evaluate(self, a: Array, b: Array) -> Array:
        """The numpy meaning."""
        if a.dtype.kind == "f":
            return np.asarray(a / b)
        return (np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)
