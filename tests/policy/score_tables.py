"""Made-up score tables whose exits are correlated: every sample has one difficulty that all exits meet."""

import numpy as np
from numpy.typing import NDArray

from eennc.policy.table import Costs, ScoreTable

Floats = NDArray[np.float64]


def made_table(
    exits: int,
    samples: int,
    classes: int = 10,
    seed: int = 0,
    *,
    noise: float = 1.0,
    split: str = "calibration",
    groups: int = 0,
    weighted: bool = False,
    probabilities: bool = False,
) -> ScoreTable:
    """Later exits are better; `noise` 0 makes the exits agree as far as they can. Classes differ in size."""
    random = np.random.default_rng(seed)
    sizes = 1.0 / np.arange(1, classes + 1)
    labels = random.choice(classes, samples, p=sizes / sizes.sum())
    hard = random.normal(size=samples) + (0.5 * random.normal(size=groups or 1)[np.arange(samples) % (groups or 1)])
    distractor = (labels + random.integers(1, classes, samples)) % classes
    scores = np.empty((exits + 1, samples, classes), np.float32)
    for k in range(exits + 1):
        margin = 1.2 + 2.5 * (k + 1) / (exits + 1) - 1.8 * hard + noise * random.normal(size=samples)
        scores[k] = 0.5 * random.normal(size=(samples, classes))
        scores[k, np.arange(samples), labels] += np.maximum(margin, 0)
        scores[k, np.arange(samples), distractor] += np.maximum(-margin, 0)
        scores[k] *= 3 - 1.5 * (k + 1) / (exits + 1)  # early exits are the more over-confident ones
    if probabilities:
        scores = np.exp(scores - scores.max(axis=2, keepdims=True))
        scores /= scores.sum(axis=2, keepdims=True)
    return ScoreTable(
        split=split,
        scores=scores,
        labels=labels.astype(np.int64),
        kind="probabilities" if probabilities else "logits",
        groups=(np.arange(samples) % groups).astype(np.int64) if groups else None,
        weights=random.uniform(0.5, 2, samples) if weighted else None,
    )


def made_costs(exits: int, seed: int = 0, head: int = 20) -> Costs:
    """A backbone of equal stretches, nearly, and small heads."""
    random = np.random.default_rng(seed)
    return Costs(
        np.cumsum(random.integers(800, 1200, exits + 1)).astype(np.int64),
        random.integers(1, 2 * head, exits).astype(np.int64),
    )
