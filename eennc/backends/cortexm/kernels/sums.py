"""What convolutions and dense layers share: sums of products, in int8 brought to the result's scale."""

from __future__ import annotations

import math
from typing import cast

import numpy as np

from eennc.backends.cortexm.form import DEEPEST, LARGEST_SUM
from eennc.backends.cortexm.writer import Writer
from eennc.ir.fixed_point import quantise_multipliers
from eennc.ir.op import Op
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.q_conv import QConv
from eennc.ir.ops.q_dense import QDense
from eennc.ir.quantised import limits, quant_of
from eennc.ir.types import Array, Quant
from eennc.ir.values import Weight
from eennc.support.diagnostics import UserError


def rows_fields(op: QConv | QDense, weights: Array, to: Writer, *, outputs: int, depth: int) -> dict[str, object]:
    """The fields of eennc_rows_s8_t. weights: int8 [rows, depth], in the kernel's order once written. The zero point of
    x goes into the bias. Raises UserError where a sum could leave 2**30.
    """
    quant = quant_of(op, op.x.type, "x")
    out = op.weight.type.concrete()[0]
    flat = np.asarray(weights, np.int64).reshape(out, -1)
    bias = np.zeros(out, np.int64) if op.bias is None else np.asarray(cast(Weight, op.bias).array, np.int64)
    folded = bias - quant.zero_point * flat.sum(axis=1)
    multiplier, shift = quantise_multipliers(op.factors() * (out if len(op.factors()) == 1 else 1))
    check_sums(op, np.abs(folded) + 128 * np.abs(flat).sum(axis=1), shift)
    low, high = limits(Quant(op.scale, op.zero_point), op.activation)
    return {
        "bias": to.constant(folded.astype(np.int32), "bias"),
        "multiplier": to.constant(multiplier.astype(np.int32), "multiplier"),
        "shift": to.constant(shift.astype(np.int8), "shift"),
        "depth": depth,
        "outputs": outputs,
        "zero_point": op.zero_point,
        "low": low,
        "high": high,
    }


def check_sums(op: Op, largest: Array, shift: Array) -> None:
    """Raise UserError where sums of at most `largest` could be too large for the fixed-point multiplication."""
    worst = int((largest << np.maximum(shift, 0)).max())
    if worst >= LARGEST_SUM:
        raise UserError(
            f"{op.name} ({op.origin}): its sums can reach {worst:,}, and the kernels' limit is {LARGEST_SUM:,}"
        )


def float_rows_fields(op: Conv | Dense, weights: Array, to: Writer, *, outputs: int, depth: int) -> dict[str, object]:
    """The fields of eennc_rows_f32_t. weights: float32 in the kernel's order."""
    return {
        "weights": to.constant(weights, "weights"),
        "bias": "NULL" if op.bias is None else to.constant(cast(Weight, op.bias).array, "bias"),
        "depth": depth,
        "outputs": outputs,
        "low": -math.inf if op.activation == "none" else 0.0,
        "high": 6.0 if op.activation == "relu6" else math.inf,
    }


def too_deep(depth: int) -> str | None:
    """The objection to a sum of so many products."""
    return f"it sums {depth:,} products, the kernels' limit is {DEEPEST:,}" if depth > DEEPEST else None
