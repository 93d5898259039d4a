"""What the elementwise ops of two operands share."""

from __future__ import annotations

import numpy as np

from eennc.ir.axes import broadcast_type
from eennc.ir.fields import tensor
from eennc.ir.op import Case, Op
from eennc.ir.types import TensorType


class Elementwise(Op):
    """Two operands that broadcast as in numpy; a subclass says what is done."""

    a = tensor()
    b = tensor()

    def infer(self) -> TensorType:
        """The broadcast shape."""
        return broadcast_type(self, self.a.type, self.b.type)

    @classmethod
    def cases(cls) -> list[Case]:
        """Equal shapes, a constant per channel, a scalar; nothing near 0, for division."""
        image = TensorType(("N", 3, 2, 2))
        channel = np.array([1.5, -2.0, 0.5], np.float32).reshape(3, 1, 1)
        return [
            Case("values", (image, image), low=0.5),
            Case("channel", (image, channel)),
            Case("scalar", (np.array(3.0, np.float32), image), low=0.5),
        ]
