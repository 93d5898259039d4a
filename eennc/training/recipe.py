"""How heads are trained, and what comes out: plain records that need no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

LEAST_STEPS = 20
"""Steps per epoch below which the batch is made smaller."""
STEPS = 2000
"""Steps after which heads have learnt what they will (`benchmarks/heads.py`)."""
FEWEST_EPOCHS = 10
"""Every sample is seen so often, however many there are."""

Balance = Literal["equal", "sqrt", "full"]


@dataclass(frozen=True)
class Recipe:
    """How one head is trained.

    epochs: passes over the training share; None for as many as `epochs_for` says. batch: samples per step (fewer where
    the samples are few). learning_rate: AdamW's peak, a cosine falls from it to 0. weight_decay: on matrices only.
    dropout: share of hidden units dropped, between dense layers only, never between backbone and head. distill: weight
    of the base model's outputs in the loss (0 labels only, 1 outputs only), softened by `temperature`. balance: weight
    of a sample by the frequency f of its class: 1, f^-1/2 or f^-1. label_smoothing: share of the label's probability
    spread over all classes. holdout: share of the samples that is kept out of the steps and picks the epoch. seed: of
    initial weights, order, dropout and holdout.
    """

    epochs: int | None = None
    learning_rate: float = 5e-3
    batch: int = 256
    weight_decay: float = 1e-2
    dropout: float = 0.1
    distill: float = 0.25
    temperature: float = 2.0
    balance: Balance = "sqrt"
    label_smoothing: float = 0.1
    holdout: float = 0.1
    seed: int = 0

    def steps_per_epoch(self, samples: int) -> int:
        """Steps of one pass over `samples` training samples."""
        return max(1, samples // self.batch_for(samples))

    def batch_for(self, samples: int) -> int:
        """Samples per step: few samples must not mean few steps."""
        return max(1, min(self.batch, samples // LEAST_STEPS))

    def epochs_for(self, samples: int) -> int:
        """`epochs`, or as many as make about `STEPS` steps, at least `FEWEST_EPOCHS` (held-out samples counted)."""
        if self.epochs is not None:
            return self.epochs
        return max(FEWEST_EPOCHS, round(STEPS / self.steps_per_epoch(samples)))


@dataclass(frozen=True)
class Targets:
    """What the heads shall answer.

    labels: class numbers int64 [n], or None (then the teacher is all there is). teacher: the base model's logits
    (or logarithms of its probabilities) float32 [n, classes]. weights: how much each sample counts, float64 [n].
    """

    teacher: NDArray[np.float32]
    labels: NDArray[np.int64] | None = None
    weights: NDArray[np.float64] | None = None

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.teacher.shape[1])


@dataclass(frozen=True)
class TrainedHead:
    """The outcome for one head.

    layers: (matrix float32 [in, out], bias float32 [out]) of each dense layer, ReLU between them, for raw features:
    the standardisation is folded into the first. accuracy: share right among the held-out samples (against the labels,
    or the teacher's answers where there are none). epoch: the one whose weights were kept, from 1.
    """

    layers: tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]
    accuracy: float
    epoch: int

    def __call__(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """Logits float32 [n, classes] of raw features [n, F]."""
        x = features.astype(np.float32)
        for index, (matrix, bias) in enumerate(self.layers):
            x = x @ matrix + bias
            if index + 1 < len(self.layers):
                x = np.maximum(x, 0)
        return x
