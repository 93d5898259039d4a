"""Dense layers."""

from __future__ import annotations

from typing import cast

from eennc.backends.cortexm.form import Form, computes
from eennc.backends.cortexm.kernels.sums import float_rows_fields, rows_fields, too_deep
from eennc.backends.cortexm.writer import Writer
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.q_dense import QDense
from eennc.ir.values import Weight


@computes(QDense)
class QDenseForm(Form):
    """eennc_dense_s8."""

    op: QDense

    def objection(self) -> str | None:
        """Sums that do not fit."""
        return too_deep(self.op.weight.type.concrete()[1])

    def write(self, to: Writer) -> None:
        """Weights as they are."""
        op = self.op
        array = cast(Weight, op.weight).array
        out, depth = array.shape
        rows = rows_fields(op, array, to, outputs=out, depth=depth)
        described = to.description("eennc_rows_s8_t", {"weights": to.constant(array, "weights"), **rows})
        count = op.result.type.elements() // out
        to.call("eennc_dense_s8", described, str(count), to.at(op.x), to.at(op.result))


@computes(Dense)
class FloatDenseForm(Form):
    """eennc_dense_f32."""

    op: Dense

    def write(self, to: Writer) -> None:
        """Weights as they are."""
        op = self.op
        array = cast(Weight, op.weight).array
        out, depth = array.shape
        described = to.description("eennc_rows_f32_t", float_rows_fields(op, array, to, outputs=out, depth=depth))
        count = op.result.type.elements() // out
        to.call("eennc_dense_f32", described, str(count), to.at(op.x), to.at(op.result))
