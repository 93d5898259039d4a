"""nn.transpose."""

from __future__ import annotations

import numpy as np

from eennc.ir.fields import ints, tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.types import Array, TensorType


@op("nn.transpose")
class Transpose(Op):
    """Axis i of the result is axis perm[i] of x. ONNX `Transpose`."""

    x = tensor()
    perm = ints(minimum=0)

    def infer(self) -> TensorType:
        """The shape permuted; the layout is dropped."""
        if sorted(self.perm) != list(range(self.x.type.rank)):
            raise self.fail(f"perm {list(self.perm)} does not permute the axes of {self.x.type}")
        type = self.x.type
        return TensorType(tuple(type.shape[axis] for axis in self.perm), type.dtype, quant=type.quant)

    def evaluate(self, x: Array) -> Array:
        """The numpy meaning."""
        return np.ascontiguousarray(np.transpose(x, self.perm))

    @classmethod
    def cases(cls) -> list[Case]:
        """Channels to the end, and a channel shuffle's swap."""
        return [
            Case("last", (TensorType(("N", 3, 2, 4)),), {"perm": (0, 2, 3, 1)}),
            Case("swap", (TensorType(("N", 2, 3, 4, 1)),), {"perm": (0, 2, 1, 3, 4)}),
        ]
