"""The rules by which an exit decides: how sure its answer is, one number per sample. docs/rules.md explains them."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from eennc.ir.types import Array, FloatArray

Rule = Literal["max_probability", "margin", "patience", "entropy", "temporal-patience"]
Kind = Literal["logits", "probabilities"]
STREAM: Rule = "temporal-patience"
"""The rule for samples that come one after the other: the score is `margin`, and an exit fires only where it names the
class that was answered last. Nobody answered before the first sample, which therefore goes to the last classifier."""
NO_CLASS = -1
"""The class that was answered last, before anything was."""

Numbers = Literal["float", "int8"]
"""What the rule looks at."""

CLASS_THRESHOLDS = "class_thresholds"
FORMS: dict[Numbers, tuple[str, ...]] = {
    "float": (*get_args(Rule), CLASS_THRESHOLDS),
    "int8": ("max_probability", "margin", "patience", STREAM, CLASS_THRESHOLDS),
}
"""What there is for either: rules, and thresholds by class. A backend says which of it it writes (`Backend.rules`)."""

SMALLEST_PROBABILITY = np.float32(1e-30)
"""Probabilities are clamped here before their logarithm is taken."""
ONE = 1 << 16
"""What exp(0) is in the integer form of `max_probability`."""
MOST = 1 << 24
"""Where sums of those end: up to here floats hold every whole number, so a runtime may add in either."""
NEVER: dict[str, int] = {"margin": 256, "max_probability": MOST, "patience": 1 << 15}
"""For each rule with an integer form the level that no sample reaches."""


def confidence(rule: Rule, scores: Array, kind: Kind, temperature: float, unit: float = 1.0) -> FloatArray:
    """The rule's score of each sample, float32 [n], from `scores` [n, classes].

    z are the scores, or their logarithm where they are probabilities. `max_probability`: max softmax(z / temperature).
    `margin`: (the largest z - the second largest) / temperature. `entropy`: 1 - H / log(classes), H the entropy of
    softmax(z / temperature). Scores may be the integers of a quantised network, of any zero point, with `unit` their
    scale: arrays of an integer dtype take the rule's integer form (`levels`). Raises ValueError where it has none, and
    for what is no matter of one exit: `patience` (`agreement` has it) and `temporal-patience`.
    """
    if rule in ("patience", STREAM):
        raise ValueError(f"{rule} looks at more than one exit's answer")
    if scores.dtype.kind == "i" and kind == "logits":
        if rule not in FORMS["int8"]:
            raise ValueError(f"{rule} has no integer form")
        return score_of_levels(rule, levels(rule, scores, temperature, unit), temperature, unit)
    logits = np.log(np.maximum(scores, SMALLEST_PROBABILITY)) if kind == "probabilities" else scores
    logits = logits.astype(np.float32, copy=False)
    factor = np.float32(unit / temperature)
    if rule == "margin":
        best = np.partition(logits, -2, axis=1)
        return (best[:, -1] - best[:, -2]) * factor
    scaled = logits * factor
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    parts = np.exp(scaled)
    total = parts.sum(axis=1, dtype=np.float32)
    if rule == "entropy":
        entropy = np.log(total) - (parts * scaled).sum(axis=1, dtype=np.float32) / total
        return (np.float32(1) - entropy / np.log(np.float32(scores.shape[1]))).astype(np.float32)
    # the largest entry is now 0, so its probability is 1 over the sum
    return (np.float32(1) / total).astype(np.float32)


@dataclass(frozen=True)
class Agreement:
    """What `patience` remembers of each sample. classes: what the last exit named, int64 [n], the first of equals.
    runs: how many exits up to that one named it without a break, int64 [n], 1 at the first exit.
    """

    classes: Array
    runs: Array

    def only(self, rows: Array) -> Agreement:
        """Of some samples."""
        return Agreement(self.classes[rows], self.runs[rows])


def agreement(scores: Array, before: Agreement | None) -> Agreement:
    """With one more exit, whose scores are [n, classes]; `before`: None at the first exit."""
    classes = scores.argmax(axis=1)
    same = np.zeros(len(classes), np.int64) if before is None else np.where(classes == before.classes, before.runs, 0)
    return Agreement(classes, same + 1)


def exponentials(temperature: float, unit: float) -> NDArray[np.int32]:
    """round(ONE exp(-d unit / temperature)) for d = 0..255 steps behind the largest logit, int32 [256]."""
    behind = np.arange(256) * (unit / temperature)
    return np.rint(ONE * np.exp(-behind)).astype(np.int32)


def levels(rule: Rule, integers: Array, temperature: float, unit: float) -> NDArray[np.int32]:
    """The rule in integers: a whole number of each sample, int32 [n], from int8 logits [n, classes] of scale `unit`.

    It rises with the rule's score, from 0 to below NEVER[rule], and is what runtimes compare. `margin`: the lead of the
    largest logit in steps. `max_probability`: MOST - min(S, MOST), S the sum of `exponentials` over the classes.
    """
    wide = integers.astype(np.int32)
    if rule == "margin":
        best = np.partition(wide, -2, axis=1)
        return best[:, -1] - best[:, -2]
    behind = wide.max(axis=1, keepdims=True) - wide
    sums = exponentials(temperature, unit)[behind].sum(axis=1, dtype=np.int64)
    return (MOST - np.minimum(sums, MOST)).astype(np.int32)


def score_of_levels(rule: Rule, found: Array, temperature: float, unit: float) -> FloatArray:
    """The rule's score at levels [n] below NEVER[rule], float32 [n], rounded once. A run of `patience` is its level."""
    if rule == "patience":
        return found.astype(np.float32)
    if rule == "margin":
        return found.astype(np.float32) * np.float32(unit / temperature)
    return np.float32(ONE) / (MOST - found).astype(np.float32)


def first_level(rule: Rule, threshold: float, temperature: float, unit: float) -> int:
    """The lowest level whose score is at least `threshold`, both float32; NEVER[rule] where there is none."""

    def score(level: int) -> np.float32:
        return score_of_levels(rule, np.array([level]), temperature, unit)[0]

    return bisect_left(range(NEVER[rule]), np.float32(threshold), key=score)
