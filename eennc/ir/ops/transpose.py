"""nn.transpose."""

from __future__ import annotations

import numpy as np

from eennc.ir.fields import ints, tensor
from eennc.ir.layouts import layout_field, layout_named
from eennc.ir.op import Case, Op, op
from eennc.ir.types import Array, TensorType


@op("nn.transpose")
class Transpose(Op):
    """Axis i of the result is axis perm[i] of x, read in `layout`. ONNX `Transpose`."""

    x = tensor()
    perm = ints(minimum=0)
    layout = layout_field()

    def infer(self) -> TensorType:
        """The shape permuted."""
        if sorted(self.perm) != list(range(self.x.type.rank)):
            raise self.fail(f"perm {list(self.perm)} does not permute the axes of {self.x.type}")
        type = self.x.type
        shape = tuple(type.shape[axis] for axis in self.perm)
        return TensorType(shape, type.dtype, layout_named(self.layout), type.quant)

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
