"""nn.reshape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import numpy as np

from eennc.ir.fields import ints, tensor
from eennc.ir.layouts import layout_field, layout_named
from eennc.ir.op import Case, Op, op
from eennc.ir.types import BATCH, Array, Dim, TensorType


@op("nn.reshape")
class Reshape(Op):
    """The same elements in another shape, read in `layout`. ONNX `Reshape` with a constant shape; zeros are resolved at
    import.

    One entry may be -1; where the other entries take all of a sample's elements, it is the batch.
    """

    x = tensor()
    shape = ints(minimum=-1)
    layout = layout_field()

    def verify(self) -> None:
        """One -1 at most, no 0."""
        if self.shape.count(-1) > 1 or 0 in self.shape:
            raise self.fail(f"shape may hold one -1 and no 0, not {list(self.shape)}")

    def infer(self) -> TensorType:
        """The shape, with -1 resolved."""
        type = self.x.type
        fixed = math.prod(size for size in self.shape if size != -1)
        batched = BATCH in type.shape
        if batched and -1 not in self.shape:
            raise self.fail(f"reshaping {type} to {list(self.shape)} leaves no axis for the batch")
        if not type.known:
            shape: list[Dim] = ["?" if size == -1 else size for size in self.shape]
            return self._typed(shape)
        if type.elements() % fixed or (-1 not in self.shape and type.elements() != fixed):
            raise self.fail(f"cannot reshape {type} to {list(self.shape)}")
        free: Dim = type.elements() // fixed
        if batched:
            before = type.shape[: type.shape.index(BATCH)]
            # N times more than 1 along one axis has no name in the IR; and each sample must stay where it is
            if free != 1 or _product(before) != _product(self.shape[: self.shape.index(-1)]):
                raise self.fail(f"reshaping {type} to {list(self.shape)} would mix samples")
            free = BATCH
        return self._typed([free if size == -1 else size for size in self.shape])

    def _typed(self, shape: Sequence[Dim]) -> TensorType:
        return TensorType(tuple(shape), self.x.type.dtype, layout_named(self.layout), self.x.type.quant)

    def evaluate(self, x: Array) -> Array:
        """The numpy meaning."""
        return np.reshape(x, self.shape)

    @classmethod
    def cases(cls) -> list[Case]:
        """Flattened, split, static."""
        return [
            Case("flatten", (TensorType(("N", 3, 2, 2)),), {"shape": (-1, 12)}),
            Case("split", (TensorType(("N", 12)),), {"shape": (-1, 3, 4)}),
            Case("static", (TensorType((2, 6)),), {"shape": (3, -1)}),
        ]


def _product(dims: Sequence[Dim]) -> int:
    return math.prod(cast(int, dim) for dim in dims)
