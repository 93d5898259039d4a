"""q.softmax."""

from __future__ import annotations

import math

import numpy as np

from eennc.ir.axes import keep_samples
from eennc.ir.fields import number, tensor
from eennc.ir.fixed_point import Ints, MultiplierError, high_multiply, quantise_multiplier, rounding_shift
from eennc.ir.op import Case, Op, op
from eennc.ir.quantised import clamped, quant_of
from eennc.ir.types import Array, DType, Quant, TensorType

PROBABILITY = Quant(1 / 256, -128)
"""What every quantised probability is stored by."""
_DIFFERENCE_BITS = 5
"""Integer bits of logit differences."""
_SUM_BITS = 12
"""Integer bits of the sum of exponentials."""
_BARREL = ((-2, 1672461947), (-1, 1302514674), (0, 790015084), (1, 290630308), (2, 39332535), (3, 720401), (4, 242))
"""exp(-2**k) in 31 fractional bits."""
_ONE = 2**31 - 1


@op("q.softmax")
class QSoftmax(Op):
    """softmax(beta * x) along the last axis, in fixed point. TFLite `SOFTMAX`; the arithmetic is gemmlowp's."""

    x = tensor()
    beta = number(1.0)

    def verify(self) -> None:
        """The factor must fit."""
        keep_samples(self, self.x.type, (self.x.type.rank - 1,))
        if not 0 < self.beta < math.inf:
            raise self.fail(f"beta must be positive and finite, not {self.beta}")
        try:
            self.factor()
        except MultiplierError as error:
            raise self.fail(str(error)) from None

    def factor(self) -> tuple[int, int]:
        """From differences of x to their fixed-point form: (multiplier, left shift)."""
        scale = quant_of(self, self.x.type, "x").scale
        real = min(float(np.float32(self.beta)) * scale * 2 ** (31 - _DIFFERENCE_BITS), 2.0**31 - 1)
        multiplier, shift = quantise_multiplier(real)
        if shift < 0:
            raise MultiplierError(f"beta {self.beta:.3g} is too small for a scale of {scale:.3g}")
        return multiplier, shift

    def lowest(self) -> int:
        """Differences from the largest logit below this one count nothing."""
        return -math.floor((2**_DIFFERENCE_BITS - 1) * 2 ** (31 - _DIFFERENCE_BITS) / 2 ** self.factor()[1])

    def infer(self) -> TensorType:
        """The shape, as probabilities."""
        return TensorType(self.x.type.shape, DType.I8, self.x.type.layout, PROBABILITY)

    def evaluate(self, x: Array) -> Array:
        """In integers."""
        multiplier, shift = self.factor()
        differences = x.astype(np.int64) - x.max(axis=-1, keepdims=True)
        seen = differences >= self.lowest()
        scaled = high_multiply(np.where(seen, differences, 0) << shift, multiplier)
        exponentials = _exponential(scaled)
        total = np.where(seen, rounding_shift(exponentials, _SUM_BITS), 0).sum(axis=-1, keepdims=True)
        # 1 / total: total = 2**bits * (1 + fraction)
        headroom = 32 - np.array([int(t).bit_length() for t in total.reshape(-1)], np.int64).reshape(total.shape)
        reciprocal = _reciprocal((total << headroom) - 2**31)
        bits = _SUM_BITS - headroom + 31 - 8
        answer = rounding_shift(high_multiply(reciprocal, exponentials), bits)
        return clamped(np.where(seen, answer, 0) + PROBABILITY.zero_point, PROBABILITY)

    @classmethod
    def cases(cls) -> list[Case]:
        """Rows, with temperature."""
        rows = TensorType(("N", 5), DType.I8, None, Quant(0.1, 3))
        return [Case("rows", (rows,)), Case("beta", (rows,), {"beta": 0.4})]


def _exponential(a: Ints) -> Ints:
    """exp(a) for a <= 0 with 26 fractional bits, in 31 fractional bits."""
    quarter = 1 << 24
    part = (a & (quarter - 1)) - quarter
    # exp on [-1/4, 0) by a polynomial about -1/8
    x = (part << _DIFFERENCE_BITS) + (1 << 28)
    x2 = high_multiply(x, x)
    x3 = high_multiply(x2, x)
    x4 = rounding_shift(high_multiply(x2, x2), 2)
    tail = rounding_shift(high_multiply(x4 + x3, 715827883) + x2, 1)
    result = 1895147668 + high_multiply(x + tail, 1895147668)
    remainder = part - a
    for exponent, factor in _BARREL:
        bit = 1 << (31 - _DIFFERENCE_BITS + exponent)
        result = np.where(remainder & bit, high_multiply(result, factor), result)
    return np.where(a == 0, _ONE, result)


def _reciprocal(a: Ints) -> Ints:
    """1 / (1 + a) for a in [0, 1) with 31 fractional bits, by three steps of Newton's method; 31 fractional bits."""
    half = (a + _ONE + 1) >> 1
    x = 1515870810 + high_multiply(half, -1010580540)
    for _ in range(3):
        rest = (1 << 29) - high_multiply(half, x)
        x = x + (high_multiply(x, rest) << 2)
    return np.minimum(x << 1, _ONE)
