"""Ops that give each channel a factor and a shift."""

from __future__ import annotations

from typing import cast

import numpy as np

from eennc.ir.op import Op
from eennc.ir.ops.add import Add
from eennc.ir.ops.batch_norm import BatchNorm
from eennc.ir.ops.div import Div
from eennc.ir.ops.mul import Mul
from eennc.ir.ops.sub import Sub
from eennc.ir.types import Array
from eennc.ir.values import Value, Weight

Affine = tuple[Array, Array]
"""float64 factor and shift, each [1] or [channels]."""


def source_of(op: Op) -> Value | None:
    """The operand that an op changes per channel; None for an op that does nothing of the kind."""
    if isinstance(op, BatchNorm):
        return op.x
    if isinstance(op, (Add, Sub, Mul, Div)):
        values = [value for value in (op.a, op.b) if not isinstance(value, Weight)]
        return values[0] if len(values) == 1 else None
    return None


def affine_of(op: Op, axis: int) -> Affine | None:
    """What an op that has a source does to its channels, which are along `axis`; None where a constant has another
    number for other places.
    """
    if isinstance(op, BatchNorm):
        return op.factors()
    if not isinstance(op, (Add, Sub, Mul, Div)):
        return None
    source = source_of(op)
    assert source is not None
    constant = _per_channel(cast(Weight, op.b if op.a is source else op.a), source.type.rank, axis)
    if constant is None:
        return None
    one, zero = np.ones(1), np.zeros(1)
    match op:
        case Add():
            return one, constant
        case Sub() if op.a is source:
            return one, -constant
        case Sub():
            return -one, constant
        case Mul():
            return constant, zero
        case Div() if op.a is source and constant.all():
            return 1 / constant, zero
        case _:
            return None


def _per_channel(constant: Weight, rank: int, axis: int) -> Array | None:
    """The constant as [1] or [channels], where broadcasting gives each channel one number; else None."""
    shape = [1] * (rank - constant.array.ndim) + list(constant.array.shape)
    if len(shape) > rank or any(size != 1 for i, size in enumerate(shape) if i != axis):
        return None
    return constant.array.astype(np.float64).reshape(-1)
