"""Scales and zero points: of activations from their ranges, of weights from their contents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eennc.ir.types import Array, Quant
from eennc.passes.quantise.moments import Moments
from eennc.passes.quantise.ranges import Range

Floats = NDArray[np.float64]

LOWEST, LEVELS = -128, 255
LARGEST_WEIGHT = 127
"""Weights are symmetric: -128 is not used."""
FINEST = 2.0**-28
"""The least that a sum's unit may be of the result's scale, so that fixed point holds the factor."""
SHRINKS: Floats = np.concatenate([np.linspace(1, 0.3, 15), np.geomspace(0.28, 0.01, 29)])
"""Parts of the scale that the largest weight needs that are tried."""
LARGEST_BIAS = 2**30
"""A bias beyond it makes its channel's weights coarser."""


def activation_quant(found: Range) -> Quant:
    """The scale and zero point whose integers cover a range that holds zero."""
    low, high = found
    scale = float(np.float32((high - low) / LEVELS))
    return Quant(scale, int(np.clip(round(LOWEST - low / scale), LOWEST, LOWEST + LEVELS)))


@dataclass(frozen=True)
class QuantisedWeight:
    """weight: int8. scales: float32 [outputs] or [1]. bias: int32 [outputs], in steps of x's scale * scales."""

    weight: NDArray[np.int8]
    scales: NDArray[np.float32]
    bias: NDArray[np.int32] | None


def quantised_weight(
    weight: Array, bias: Array | None, x: Quant, y: Quant, *, per_output: bool, moments: Moments | None, correct: bool
) -> QuantisedWeight:
    """A weight [outputs, ...] and its bias as integers, symmetric, one scale per output or one for all.

    moments: mean and variance of what each weight is multiplied with, to broadcast over the weight. The scale is then
    the one of least expected squared error of the sums: weights for inputs that hardly vary may be clipped. Without,
    the largest weight sets it. `correct`: the bias takes over the error's mean. A channel whose weights are tiny
    against its bias, or against the result's scale, gets a coarser scale.
    """
    wide = weight.reshape(len(weight), -1).astype(np.float64)
    if not per_output:
        wide = wide.reshape(1, -1)
    scales = np.abs(wide).max(axis=1) / LARGEST_WEIGHT
    if moments is not None:
        scales = _least_error(wide, np.broadcast_to(moments.variance, weight.shape).reshape(wide.shape), scales)
    scales = np.maximum(scales, FINEST * y.scale / x.scale)
    if bias is not None:
        needed = np.abs(bias.astype(np.float64)) / (x.scale * LARGEST_BIAS)
        scales = np.maximum(scales, needed if per_output else needed.max())
    scales = scales.astype(np.float32)
    steps = scales.astype(np.float64)
    integers = _rounded(wide, steps[:, None]).reshape(weight.shape)
    if correct and moments is not None:
        error = weight - integers * steps.reshape(-1, *[1] * (weight.ndim - 1))
        shift = (error * moments.mean).reshape(len(weight), -1).sum(axis=1)
        bias = shift if bias is None else bias + shift
    stored = None if bias is None else np.rint(bias / (x.scale * steps)).astype(np.int32)
    return QuantisedWeight(integers.astype(np.int8), scales, stored)


def given_weight(weight: Array, bias: Array | None, x: Quant, scales: NDArray[np.float32]) -> QuantisedWeight:
    """A weight whose integers have these scales, float32 [outputs] or [1], already."""
    steps = scales.astype(np.float64)
    integers = np.rint(weight / steps.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.int8)
    stored = None if bias is None else np.rint(bias / (x.scale * steps)).astype(np.int32)
    return QuantisedWeight(integers, scales, stored)


def _least_error(wide: Floats, variance: Floats, scales: Floats) -> Floats:
    """Per row the scale, `scales` at most, of least squared error of sums with inputs of this variance."""
    best, found = np.full(len(wide), np.inf), scales
    for shrink in SHRINKS:
        steps = np.maximum(shrink * scales, np.finfo(np.float64).tiny)
        stored = _rounded(wide, steps[:, None]) * steps[:, None]
        error = (variance * (wide - stored) ** 2).sum(axis=1)
        found = np.where(error < best, steps, found)
        best = np.minimum(error, best)
    return found


def _rounded(wide: Floats, steps: Floats) -> Floats:
    return np.clip(np.rint(wide / np.maximum(steps, np.finfo(np.float64).tiny)), -LARGEST_WEIGHT, LARGEST_WEIGHT)
