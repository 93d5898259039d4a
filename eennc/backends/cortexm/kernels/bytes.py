"""Functions of single int8 values: by table; softmax; from floats and back."""

from __future__ import annotations

import math

import numpy as np

from eennc.backends.cortexm.form import Form, computes
from eennc.backends.cortexm.writer import Writer
from eennc.ir.ops.q_dequantize import Dequantize
from eennc.ir.ops.q_quantize import Quantize
from eennc.ir.ops.q_requantize import Requantize
from eennc.ir.ops.q_softmax import QSoftmax
from eennc.ir.ops.q_table import QTable
from eennc.ir.quantised import quant_of
from eennc.ir.types import Array, TensorType
from eennc.ir.values import Weight

MOST_CLASSES = 2**12 - 1
"""Of a softmax: each adds at most 2**19 to a sum of 32 bits."""


def all_bytes() -> Array:
    """Every int8, in the order of the unsigned bytes."""
    return np.arange(256, dtype=np.uint8).view(np.int8)


def write_table(op: Requantize | QTable, tables: Array, run: int, to: Writer) -> None:
    """A call of eennc_table_s8. tables: int8 [count, 256]."""
    fields = {
        "tables": to.constant(tables, "table"),
        "size": op.result.type.elements(),
        "run": run,
        "count": len(tables),
    }
    to.call("eennc_table_s8", to.description("eennc_table_s8_t", fields), to.at(op.x), to.at(op.result))


@computes(Requantize)
class RequantizeForm(Form):
    """eennc_table_s8: all 256 answers are computed here."""

    op: Requantize

    def in_place(self) -> tuple[int, ...]:
        """Byte by byte."""
        return (0,)

    def write(self, to: Writer) -> None:
        """One table."""
        size = self.op.result.type.elements()
        write_table(self.op, self.op.evaluate(all_bytes())[None], size, to)


@computes(QTable)
class QTableForm(Form):
    """eennc_table_s8."""

    op: QTable

    def in_place(self) -> tuple[int, ...]:
        """Byte by byte."""
        return (0,)

    def write(self, to: Writer) -> None:
        """A table, or one per entry of an axis."""
        op = self.op
        tables = op.tables
        assert isinstance(tables, Weight)
        shape = op.result.type.concrete(1)
        run = math.prod(shape[op.axis % len(shape) + 1 :]) if len(tables.array) > 1 else op.result.type.elements()
        write_table(op, tables.array, run, to)


@computes(QSoftmax)
class QSoftmaxForm(Form):
    """eennc_softmax_s8."""

    op: QSoftmax

    def objection(self) -> str | None:
        """Exponentials whose sum would not fit."""
        classes = self.op.result.type.concrete(1)[-1]
        return (
            f"it is over {classes:,} classes, the kernel's limit is {MOST_CLASSES:,}"
            if classes > MOST_CLASSES
            else None
        )

    def in_place(self) -> tuple[int, ...]:
        """A logit is read for the last time before its probability is written."""
        return (0,)

    def write(self, to: Writer) -> None:
        """Rows along the last axis."""
        op = self.op
        classes = op.result.type.concrete(1)[-1]
        multiplier, shift = op.factor()
        fields = {
            "rows": op.result.type.elements() // classes,
            "classes": classes,
            "multiplier": multiplier,
            "shift": shift,
            "lowest": op.lowest(),
        }
        to.call("eennc_softmax_s8", to.description("eennc_softmax_s8_t", fields), to.at(op.x), to.at(op.result))


def _quantise_fields(quantised: TensorType, op: Quantize | Dequantize) -> dict[str, object]:
    quant = quant_of(op, quantised, "x")
    return {"size": quantised.elements(), "scale": float(quant.scale), "zero_point": quant.zero_point}


@computes(Quantize)
class QuantizeForm(Form):
    """eennc_quantise_f32_s8."""

    op: Quantize

    def write(self, to: Writer) -> None:
        """Element by element."""
        op = self.op
        described = to.description("eennc_quantise_t", _quantise_fields(op.result.type, op))
        to.call("eennc_quantise_f32_s8", described, to.at(op.x), to.at(op.result))


@computes(Dequantize)
class DequantizeForm(Form):
    """eennc_dequantise_s8_f32."""

    op: Dequantize

    def write(self, to: Writer) -> None:
        """Element by element."""
        op = self.op
        described = to.description("eennc_quantise_t", _quantise_fields(op.x.type, op))
        to.call("eennc_dequantise_s8_f32", described, to.at(op.x), to.at(op.result))
