"""nn.pad."""

from __future__ import annotations

import numpy as np

from eennc.ir.fields import ints, number, tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.types import Array, Dim, TensorType, holds


@op("nn.pad")
class Pad(Op):
    """x with `value` around it; pads: begins of all axes, then ends, negative ones crop. ONNX `Pad`, constant mode."""

    x = tensor()
    pads = ints()
    value = number(0.0)

    def infer(self) -> TensorType:
        """The grown shape."""
        rank = self.x.type.rank
        if not holds(self.x.type.dtype, self.value):
            raise self.fail(f"{self.value} is no {self.x.type.dtype}")
        if len(self.pads) != 2 * rank:
            raise self.fail(f"pads must have {2 * rank} entries, not {len(self.pads)}")
        shape: list[Dim] = []
        for dim, begin, end in zip(self.x.type.shape, self.pads[:rank], self.pads[rank:], strict=True):
            if isinstance(dim, str):
                if begin or end:
                    raise self.fail(f"cannot pad axis '{dim}' of {self.x.type}")
                shape.append(dim)
            elif dim + begin + end < 1:
                raise self.fail(f"pads {list(self.pads)} leave nothing of {self.x.type}")
            else:
                shape.append(dim + begin + end)
        return self.x.type.with_shape(shape)

    def evaluate(self, x: Array) -> Array:
        """The numpy meaning."""
        rank = x.ndim
        pairs = list(zip(self.pads[:rank], self.pads[rank:], strict=True))
        x = np.pad(x, [(max(b, 0), max(e, 0)) for b, e in pairs], constant_values=x.dtype.type(self.value))
        return x[tuple(slice(max(-b, 0), size - max(-e, 0)) for size, (b, e) in zip(x.shape, pairs, strict=True))]

    @classmethod
    def cases(cls) -> list[Case]:
        """Channels, all around with a value, cropped."""
        image = TensorType(("N", 3, 4, 5))
        return [
            Case("channels", (image,), {"pads": (0, 1, 0, 0, 0, 2, 0, 0)}),
            Case("value", (image,), {"pads": (0, 0, 1, 2, 0, 0, 3, 0), "value": 1.5}),
            Case("crop", (image,), {"pads": (0, 0, -1, 1, 0, 0, 0, -2)}),
        ]
