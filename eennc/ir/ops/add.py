"""nn.add."""

from __future__ import annotations

import numpy as np

from eennc.ir.axes import broadcast_type
from eennc.ir.fields import tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.types import Array, TensorType


@op("nn.add")
class Add(Op):
    """a + b, elementwise, with numpy's broadcasting. ONNX `Add`."""

    a = tensor()
    b = tensor()

    def infer(self) -> TensorType:
        """The broadcast shape."""
        return broadcast_type(self, self.a.type, self.b.type)

    def evaluate(self, a: Array, b: Array) -> Array:
        """The numpy meaning."""
        return np.asarray(a + b)

    @classmethod
    def cases(cls) -> list[Case]:
        """Equal shapes, a constant per channel, a scalar."""
        image = TensorType(("N", 3, 2, 2))
        channel = np.array([1.5, -2.0, 0.5], np.float32).reshape(3, 1, 1)
        return [
            Case("values", (image, image)),
            Case("channel", (image, channel)),
            Case("scalar", (np.array(3.0, np.float32), image)),
        ]
