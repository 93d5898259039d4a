"""What the ops of the q dialect share: tensors of int8 that stand for real numbers, in integer arithmetic."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from eennc.ir.fields import AttrField, integer, number
from eennc.ir.fixed_point import Ints, MultiplierError, quantise_multipliers, requantise
from eennc.ir.op import Op
from eennc.ir.types import Array, DType, Quant, TensorType

LOWEST, HIGHEST = -128, 127


def computes_in_integers(ops: Iterable[Op]) -> bool:
    """Whether any op is one of integers; floats may be brought to integers and back in between."""
    return any(op.name.startswith("q.") and op.name not in ("q.quantize", "q.dequantize") for op in ops)


def scale_field() -> AttrField[float]:
    """The attribute `scale` of a result."""
    return number()


def zero_point_field() -> AttrField[int]:
    """The attribute `zero_point` of a result."""
    return integer(0)


def quant_of(op: Op, type: TensorType, operand: str) -> Quant:
    """An operand's quantisation; raises VerifyError where it is not int8 with one."""
    if type.dtype is not DType.I8 or type.quant is None:
        raise op.fail(f"operand '{operand}' must be i8 with a scale and a zero point, not {type}")
    return type.quant


def quantised(op: Op, type: TensorType, scale: float, zero_point: int) -> TensorType:
    """An int8 type of the shape and layout of `type`; raises VerifyError for parameters that int8 cannot have."""
    if not LOWEST <= zero_point <= HIGHEST:
        raise op.fail(f"zero_point must be in [{LOWEST}, {HIGHEST}], not {zero_point}")
    try:
        return TensorType(type.shape, DType.I8, type.layout, Quant(scale, zero_point))
    except ValueError as error:
        raise op.fail(str(error)) from None


def multipliers(op: Op, reals: list[float]) -> tuple[Ints, Ints]:
    """Fixed-point multipliers and shifts, int64 [n] each; raises VerifyError where one cannot be held."""
    try:
        return quantise_multipliers(reals)
    except MultiplierError as error:
        raise op.fail(str(error)) from None


def stored(op: Op, x: Array, reals: list[float], quant: Quant, activation: str = "none") -> Array:
    """int32 sums `x` (channels in the last axis) brought to `quant`: int8, clamped to what the activation leaves."""
    multiplier, shift = multipliers(op, reals)
    return clamped(requantise(x, multiplier, shift) + quant.zero_point, quant, activation)


def clamped(x: Array, quant: Quant, activation: str = "none") -> Array:
    """Integers of `quant` as int8, within what the activation leaves."""
    low, high = limits(quant, activation)
    return np.clip(x, low, high).astype(np.int8)


def limits(quant: Quant, activation: str) -> tuple[int, int]:
    """The lowest and the highest integer that an activation lets through."""
    low, high = LOWEST, HIGHEST
    if activation != "none":
        low = max(low, quant.zero_point)
    if activation == "relu6":
        six = np.float32(6) / np.float32(quant.scale)
        high = min(high, quant.zero_point + int(np.floor(six + np.float32(0.5))))
    return low, high
