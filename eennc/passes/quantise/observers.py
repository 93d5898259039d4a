"""From what values an activation takes to the range that its integers cover."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Observer = Literal["minmax", "percentile", "mse"]
Floats = NDArray[np.float64]

BINS = 2048
LEVELS = 255
"""Steps between the lowest and the highest integer."""
SHRINKS: Floats = np.linspace(1.0, 0.3, 36)
"""Parts of the whole range that the mean squared error is tried at."""


@dataclass
class Histogram:
    """How often values fell into each of `BINS` equal parts of [low, high]."""

    low: float
    high: float
    counts: NDArray[np.int64]

    @classmethod
    def empty(cls, low: float, high: float) -> Histogram:
        """Nothing seen yet."""
        return cls(low, high, np.zeros(BINS, np.int64))

    def add(self, values: NDArray[np.float32]) -> None:
        """Count values, all within [low, high]."""
        width = self.high - self.low
        if width <= 0:
            return
        places = ((values.reshape(-1) - np.float32(self.low)) * np.float32(BINS / width)).astype(np.int64)
        self.counts += np.bincount(np.clip(places, 0, BINS - 1), minlength=BINS)

    @property
    def centres(self) -> Floats:
        """The middle of each bin."""
        width = (self.high - self.low) / BINS
        return np.array([self.low + (number + 0.5) * width for number in range(BINS)], np.float64)


def percentile(share: float) -> Callable[[Histogram], tuple[float, float]]:
    """The range without the share (1 - `share`) of values at either end."""

    def range_of(histogram: Histogram) -> tuple[float, float]:
        total = int(histogram.counts.sum())
        below: NDArray[np.int64] = np.cumsum(histogram.counts)
        width = (histogram.high - histogram.low) / BINS
        first = int((below <= total * (1 - share)).sum())
        last = int((below < total * share).sum())
        return histogram.low + min(first, BINS - 1) * width, histogram.low + (min(last, BINS - 1) + 1) * width

    return range_of


def mean_squared_error(histogram: Histogram) -> tuple[float, float]:
    """The part of the range, ends shrunk alike towards zero, whose integers stand for the values with least error."""
    low, high = min(histogram.low, 0.0), max(histogram.high, 0.0)
    centres, counts = histogram.centres, histogram.counts
    best, found = np.inf, (low, high)
    for shrink in map(float, SHRINKS):
        bottom, top = shrink * low, shrink * high
        step = (top - bottom) / LEVELS
        if step <= 0:
            continue
        integers: Floats = np.clip(np.rint((centres - bottom) / step), 0, LEVELS)
        error = float(counts @ (integers * step + bottom - centres) ** 2)
        if error < best:
            best, found = error, (bottom, top)
    return found
