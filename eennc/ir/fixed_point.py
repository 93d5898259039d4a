"""Fixed-point arithmetic of quantised networks: multiplication by a real number in integers, with double rounding.

It is that of TFLite Micro's reference kernels, which take it from gemmlowp (Jacob et al. 2017, arXiv 1712.05877,
section 2.2): a rounding high multiplication, then a rounding shift.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eennc.ir.types import Array

Ints = NDArray[np.int64]
HIGHEST = 2**31 - 1


class MultiplierError(ValueError):
    """A real multiplier that fixed point cannot hold."""


def quantise_multiplier(real: float) -> tuple[int, int]:
    """(multiplier, shift) with real = multiplier * 2**(shift - 31) and multiplier in [2**30, 2**31).

    Raises MultiplierError for one that is not positive, not finite, not below 2**30, or below 2**-32.
    """
    if not 0 < real < math.inf:
        raise MultiplierError(f"a multiplier of {real} cannot be held")
    fraction, shift = math.frexp(real)
    multiplier = math.floor(fraction * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier //= 2
        shift += 1
    if not -31 <= shift <= 30:
        raise MultiplierError(f"a multiplier of {real:.3g} is {'too large' if shift > 0 else 'too small'} for 32 bits")
    return multiplier, shift


def quantise_multipliers(reals: Sequence[float]) -> tuple[Ints, Ints]:
    """Multipliers and shifts, int64 [n] each. Raises MultiplierError."""
    found = [quantise_multiplier(real) for real in reals]
    return np.array([m for m, _ in found], np.int64), np.array([s for _, s in found], np.int64)


def high_multiply(a: Array | int, b: Array | int) -> Ints:
    """a * b / 2**31, halves rounded up, int64; a and b within int32 (gemmlowp's SaturatingRoundingDoublingHighMul).

    -2**31 times itself gives 2**31 - 1.
    """
    return np.minimum((np.asarray(a, np.int64) * b + 2**30) >> 31, HIGHEST)


def rounding_shift(x: Array, bits: Array | int) -> Ints:
    """x / 2**bits, halves rounded away from zero, int64; bits >= 0 (gemmlowp's RoundingDivideByPOT)."""
    bits = np.asarray(bits, np.int64)
    half = (np.int64(1) << bits) >> 1
    return (x + (half - ((x < 0) & (bits > 0)))) >> bits


def requantise(x: Array, multiplier: Array | int, shift: Array | int) -> Ints:
    """x * multiplier * 2**(shift - 31), int64: x shifted left, multiplied, then shifted right, each time rounded.

    x: int32 values; multiplier, shift: of `quantise_multiplier`, broadcast against x.
    """
    shift = np.asarray(shift, np.int64)
    shifted = np.asarray(x, np.int64) << np.maximum(shift, 0)
    return rounding_shift(high_multiply(shifted, multiplier), np.maximum(-shift, 0))


def divided(multiplier: int, shift: int, count: int) -> tuple[int, int]:
    """Multiplier and shift for a sum of `count` numbers, so that their mean comes of it (TensorFlow Lite's MEAN)."""
    bits = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << bits) // count, shift - bits


def rounded_divide(x: Array, count: Array | int) -> Ints:
    """x / count, halves rounded away from zero, int64; count > 0."""
    x = np.asarray(x, np.int64)
    return np.sign(x) * ((np.abs(x) + np.asarray(count, np.int64) // 2) // count)
