"""nn.slice."""

from __future__ import annotations

import numpy as np

from eennc.ir.axes import normal_axes
from eennc.ir.fields import ints, tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.types import Array, Dim, TensorType


@op("nn.slice")
class Slice(Op):
    """x[starts:ends:steps] along `axes`, limits clamped as ONNX does. ONNX `Slice` with constant limits."""

    x = tensor()
    starts = ints()
    ends = ints()
    axes = ints()
    steps = ints()

    def verify(self) -> None:
        """Lists of one length, no step 0."""
        if len({len(self.starts), len(self.ends), len(self.axes), len(self.steps)}) != 1:
            raise self.fail("starts, ends, axes and steps must have one length")
        if 0 in self.steps:
            raise self.fail("a step cannot be 0")

    def ranges(self) -> dict[int, range]:
        """The elements taken, per axis; axes of unknown size must be taken whole."""
        ranges: dict[int, range] = {}
        axes = normal_axes(self, self.axes, self.x.type.rank)
        for axis, start, end, step in zip(axes, self.starts, self.ends, self.steps, strict=True):
            size = self.x.type.shape[axis]
            if isinstance(size, int):
                ranges[axis] = _taken(start, end, step, size)
            elif not (start == 0 and step == 1 and end >= 2**31 - 1):
                raise self.fail(f"cannot slice axis {axis} of {self.x.type}")
        return ranges

    def infer(self) -> TensorType:
        """The clamped lengths."""
        shape: list[Dim] = list(self.x.type.shape)
        for axis, taken in self.ranges().items():
            if not taken:
                raise self.fail(f"the slice of axis {axis} of {self.x.type} is empty")
            shape[axis] = len(taken)
        return self.x.type.with_shape(shape)

    def evaluate(self, x: Array) -> Array:
        """The numpy meaning."""
        for axis, taken in self.ranges().items():
            x = np.take(x, np.array(taken), axis=axis)
        return x

    @classmethod
    def cases(cls) -> list[Case]:
        """Strided, negative, clamped, backwards."""
        image = TensorType(("N", 3, 6, 7))
        return [
            Case("stride", (image,), {"starts": (0, 1), "ends": (6, 9), "axes": (2, 3), "steps": (2, 2)}),
            Case("negative", (image,), {"starts": (-3,), "ends": (-1,), "axes": (-1,), "steps": (1,)}),
            Case("back", (image,), {"starts": (99,), "ends": (-99,), "axes": (2,), "steps": (-1,)}),
        ]


def _taken(start: int, end: int, step: int, size: int) -> range:
    """As ONNX clamps: both count from the back where negative; backwards, `end` may lie before the first element."""
    lowest, highest = (0, size) if step > 0 else (-1, size - 1)
    start = start + size if start < 0 else start
    end = end + size if end < 0 else end
    return range(min(max(start, 0), highest), min(max(end, lowest), highest), step)
