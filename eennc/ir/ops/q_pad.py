"""q.pad."""

from __future__ import annotations

import numpy as np

from eennc.ir.fields import ints, tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.quantised import quant_of
from eennc.ir.types import Array, Dim, DType, Quant, TensorType


@op("q.pad")
class QPad(Op):
    """x with real zeros around it; pads: begins of all axes, then ends. TFLite `PAD`."""

    x = tensor()
    pads = ints(minimum=0)

    def verify(self) -> None:
        """Quantised, the batch left alone."""
        quant_of(self, self.x.type, "x")
        rank = self.x.type.rank
        if len(self.pads) != 2 * rank:
            raise self.fail(f"pads must have {2 * rank} entries, not {len(self.pads)}")
        if self.pads[0] or self.pads[rank]:
            raise self.fail("cannot pad the batch")

    def infer(self) -> TensorType:
        """The grown shape."""
        rank = self.x.type.rank
        grown = [begin + end for begin, end in zip(self.pads[:rank], self.pads[rank:], strict=True)]
        shape: list[Dim] = [d if isinstance(d, str) else d + g for d, g in zip(self.x.type.shape, grown, strict=True)]
        return self.x.type.with_shape(shape)

    def evaluate(self, x: Array) -> Array:
        """The zero point is what zero is stored as."""
        widths = list(zip(self.pads[: x.ndim], self.pads[x.ndim :], strict=True))
        return np.pad(x, widths, constant_values=quant_of(self, self.x.type, "x").zero_point)

    @classmethod
    def cases(cls) -> list[Case]:
        """Channels, all around."""
        image = TensorType(("N", 3, 4, 5), DType.I8, None, Quant(0.1, 3))
        return [Case("all", (image,), {"pads": (0, 1, 0, 2, 0, 2, 3, 0)})]
