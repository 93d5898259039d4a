"""nn.concat."""

from __future__ import annotations

import numpy as np

from eennc.ir.axes import normal_axes
from eennc.ir.fields import integer, tensors
from eennc.ir.op import Case, Op, op
from eennc.ir.types import Array, Dim, TensorType


@op("nn.concat")
class Concat(Op):
    """The operands behind each other along an axis. ONNX `Concat`."""

    xs = tensors()
    axis = integer()

    def infer(self) -> TensorType:
        """The sum along the axis; the other axes must be equal."""
        if not self.xs:
            raise self.fail("needs an operand at least")
        first = self.xs[0].type
        (axis,) = normal_axes(self, (self.axis,), first.rank)
        shape: list[Dim] = list(first.shape)
        for x in self.xs[1:]:
            fits = x.type.rank == first.rank and x.type.dtype is first.dtype
            if not fits or any(
                "?" not in (a, b) and a != b
                for i, (a, b) in enumerate(zip(x.type.shape, first.shape, strict=True))
                if i != axis
            ):
                raise self.fail(f"operands do not fit: {first} and {x.type}")
        sizes = [x.type.shape[axis] for x in self.xs]
        if len(sizes) > 1:
            if "N" in sizes:
                raise self.fail("cannot concatenate along the batch axis")
            shape[axis] = sum(int(size) for size in sizes) if "?" not in sizes else "?"
        return first.with_shape(shape)

    def evaluate(self, *xs: Array) -> Array:
        """The numpy meaning."""
        return np.concatenate(xs, axis=self.axis)

    @classmethod
    def cases(cls) -> list[Case]:
        """Two, one, three with a constant."""
        image = TensorType(("N", 3, 2, 2))
        return [
            Case("channels", (image, TensorType(("N", 2, 2, 2))), {"axis": 1}),
            Case("one", (image,), {"axis": 2}),
            Case("negative", (image, image, image), {"axis": -1}),
        ]
