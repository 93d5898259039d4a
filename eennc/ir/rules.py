"""The rules by which an exit decides: how sure its answer is, one number per sample."""

from __future__ import annotations

from typing import Literal

import numpy as np

from eennc.ir.types import Array, FloatArray

Rule = Literal["max_probability", "margin"]
Kind = Literal["logits", "probabilities"]

SMALLEST_PROBABILITY = np.float32(1e-30)
"""Probabilities are clamped here before their logarithm is taken."""


def confidence(rule: Rule, scores: Array, kind: Kind, temperature: float, unit: float = 1.0) -> FloatArray:
    """The rule's score of each sample, float32 [n], from `scores` [n, classes].

    z are the scores, or their logarithm where they are probabilities. `max_probability`: max softmax(z / temperature).
    `margin`: (the largest z - the second largest) / temperature. Scores may be the integers of a quantised network, of
    any zero point, with `unit` their scale; the margin is then exact but for its last factor.
    """
    logits = np.log(np.maximum(scores, SMALLEST_PROBABILITY)) if kind == "probabilities" else scores
    logits = logits.astype(np.float32, copy=False)
    factor = np.float32(unit / temperature)
    if rule == "margin":
        best = np.partition(logits, -2, axis=1)
        return (best[:, -1] - best[:, -2]) * factor
    scaled = logits * factor
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    # the largest entry is now 0, so its probability is 1 over the sum
    return (np.float32(1) / np.exp(scaled).sum(axis=1, dtype=np.float32)).astype(np.float32)
