"""q.table."""

from __future__ import annotations

import numpy as np

from eennc.ir.fields import integer, tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.quantised import quantised, scale_field, zero_point_field
from eennc.ir.types import Array, DType, Quant, TensorType


@op("q.table")
class QTable(Op):
    """Any function of one byte: y = tables[i][x], x as an unsigned byte, i the index along `axis`.

    x: u8, or i8. tables: int8 [1, 256], or [n, 256] where axis has n entries.
    """

    x = tensor()
    tables = tensor(rank=2, dtype=DType.I8, constant=True)
    axis = integer(-1)
    scale = scale_field()
    zero_point = zero_point_field()

    def infer(self) -> TensorType:
        """The shape, as int8."""
        if self.x.type.dtype not in (DType.U8, DType.I8):
            raise self.fail(f"operand 'x' must be u8 or i8, not {self.x.type}")
        if not -self.x.type.rank <= self.axis < self.x.type.rank:
            raise self.fail(f"there is no axis {self.axis} in {self.x.type}")
        count, entries = self.tables.type.concrete()
        if entries != 256 or count not in (1, self.x.type.shape[self.axis]):
            raise self.fail(
                f"operand 'tables' must be [1 or the size of axis {self.axis}, 256], not {self.tables.type}"
            )
        return quantised(self, self.x.type, self.scale, self.zero_point)

    def evaluate(self, x: Array, tables: Array) -> Array:
        """A look-up."""
        rows = np.zeros(1, np.int64) if len(tables) == 1 else np.arange(len(tables))
        shape = [1] * x.ndim
        shape[self.axis] = len(rows)
        return tables[rows.reshape(shape), x.view(np.uint8)]

    @classmethod
    def cases(cls) -> list[Case]:
        """Bytes and signed bytes, one table and one per channel."""
        tables = np.random.default_rng(5).integers(-128, 128, (3, 256)).astype(np.int8)
        image = TensorType(("N", 4, 5, 3), DType.U8)
        signed = TensorType(("N", 3, 4), DType.I8, None, Quant(0.1, 3))
        y = {"scale": 0.1, "zero_point": 3}
        return [
            Case("one", (image, tables[:1]), y),
            Case("channels", (image, tables), y),
            Case("signed", (signed, tables), {"axis": 1, **y}),
        ]
