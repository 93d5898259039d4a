"""What is known of samples that come one after the other, and what the report says of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eennc.policy.statistics import Loss, Statistic
from eennc.policy.summary import ExitRow
from eennc.policy.table import Floats, Ints

Floats32 = NDArray[np.float32]
Ints32 = NDArray[np.int32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class StreamTable:
    """What every exit makes of every sample of a split, in the order in which they come.

    confidences: float32 [K, n], the exits' scores. predictions: int32 [K + 1, n], the classes that exits and last
    classifier name. labels: int64 [n]. starts: where a sequence begins, bool [n]; the first sample does whatever it
    says. weights: float64 [n] >= 0, or None. Raises ValueError for shapes that do not fit, and for no samples.
    """

    confidences: Floats32
    predictions: Ints32
    labels: Ints
    starts: Bools
    weights: Floats | None = None

    def __post_init__(self) -> None:
        exits, n = self.confidences.shape
        shapes = [self.labels.shape, self.starts.shape, *([] if self.weights is None else [self.weights.shape])]
        if self.predictions.shape != (exits + 1, n) or any(shape != (n,) for shape in shapes):
            raise ValueError(
                f"a stream of {n} samples and {exits} exits, and arrays {self.predictions.shape}, {shapes}"
            )
        if n == 0:
            raise ValueError("a stream of no samples")

    @property
    def sample_weights(self) -> Floats:
        """Weights that add up to 1, float64 [n]."""
        weights = np.ones(len(self.labels)) if self.weights is None else self.weights
        return weights / weights.sum()

    @property
    def sequences(self) -> Ints:
        """The number of each sample's sequence, int64 [n]."""
        return self.starts.cumsum().astype(np.int64)


@dataclass(frozen=True)
class StreamSplit:
    """One split, played through. exits: those that stayed, and the last classifier. sequences: how many, None where the
    split names no groups. counts: samples that each of `exits` answered. loss: of accuracy against the base network.
    """

    split: str
    samples: int
    sequences: int | None
    accuracy: float
    base_accuracy: float
    macs: float
    base_macs: int
    saved: float
    loss: Loss
    exits: tuple[ExitRow, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class StreamSummary:
    """What `solve-stream` found: a threshold per exit that stayed, and what they do in the order of the samples."""

    limit: float
    statistic: Statistic
    thresholds: tuple[float, ...]
    calibration: StreamSplit
    test: StreamSplit | None
