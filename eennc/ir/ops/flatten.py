"""nn.flatten."""

from __future__ import annotations

import math

import numpy as np

from eennc.ir.fields import integer, tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.types import Array, Dim, TensorType


@op("nn.flatten")
class Flatten(Op):
    """All axes before `axis` as one, all from it on as one. ONNX `Flatten`."""

    x = tensor()
    axis = integer(1)

    def split(self) -> int:
        """The axis, counted from the front."""
        rank = self.x.type.rank
        if not -rank <= self.axis <= rank:
            raise self.fail(f"axis {self.axis} is not an axis of {self.x.type}")
        return self.axis + rank if self.axis < 0 else self.axis

    def infer(self) -> TensorType:
        """[before, after]."""
        at = self.split()

        def product(dims: tuple[Dim, ...]) -> Dim:
            if "?" in dims:
                return "?"
            sizes = [dim for dim in dims if isinstance(dim, int)]
            if len(sizes) == len(dims):
                return math.prod(sizes)
            if math.prod(sizes) != 1 or len(dims) - len(sizes) > 1:
                raise self.fail(f"flattening {self.x.type} at {self.axis} would mix samples")
            return "N"

        return self.x.type.with_shape((product(self.x.type.shape[:at]), product(self.x.type.shape[at:])))

    def evaluate(self, x: Array) -> Array:
        """The numpy meaning."""
        at = self.split()
        return np.reshape(x, (math.prod(x.shape[:at]), math.prod(x.shape[at:])))

    @classmethod
    def cases(cls) -> list[Case]:
        """A map, a negative axis."""
        return [
            Case("map", (TensorType(("N", 3, 2, 2)),)),
            Case("negative", (TensorType((2, 3, 4)),), {"axis": -1}),
        ]
