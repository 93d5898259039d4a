"""What is known of a network's exits on a split, and the policy that decides with it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from eennc.ir.rules import SMALLEST_PROBABILITY, Kind, Rule, confidence
from eennc.support.diagnostics import UserError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


CostMetric = Literal["macs", "instructions"]


@dataclass(frozen=True)
class Costs:
    """What a sample costs, MACs where `metric` says nothing else. `backbone` int64 [K + 1]: the backbone up to exit k,
    heads left out, the whole network in the last entry. `head` int64 [K]: each head. Raises ValueError for shapes that
    do not fit, negative costs, and a backbone that gets cheaper on the way.
    """

    backbone: Ints
    head: Ints
    metric: CostMetric = "macs"

    def __post_init__(self) -> None:
        if self.head.ndim != 1 or self.backbone.shape != (len(self.head) + 1,):
            raise ValueError(f"costs of shapes {self.backbone.shape} and {self.head.shape}; want [K + 1] and [K]")
        if self.backbone.min() < 0 or (self.head < 0).any():
            raise ValueError("costs must not be negative")
        if (np.diff(self.backbone) < 0).any():
            raise ValueError("the backbone's costs must not fall from one exit to the next")

    def stopping(self, active: NDArray[np.bool_]) -> Ints:
        """The cost of a sample that stops at exit k, or at the last classifier, int64 [K + 1], where the heads of exits
        not `active` [K] are taken out of the network.
        """
        heads = np.where(active, self.head, 0).cumsum()
        return self.backbone + np.concatenate([heads, heads[-1:] if len(heads) else np.zeros(1, np.int64)])

    def only(self, exits: Sequence[int]) -> Costs:
        """Those of the network with these exits alone."""
        kept = np.array(exits, np.int64)
        return dataclasses.replace(self, backbone=self.backbone[[*exits, -1]], head=self.head[kept])


@dataclass(frozen=True)
class ScoreTable:
    """Scores of every exit on every sample of a split.

    scores: float32 [K + 1, n, classes], the last row the last classifier's. labels: int64 [n]. groups: int64 [n],
    weights: float64 [n] >= 0, or None. evidence: what `rule` looks at, float32 [K, n, classes], where that is not the
    scores; then it is logits. In a quantised network scores and evidence are the integers, and `unit` is the scale of
    what the rule looks at. gains: whether an exit is right that names the label where the last classifier does not.
    Raises UserError for a split that nothing can be learned from.
    """

    split: str
    scores: NDArray[np.float32]
    labels: Ints
    kind: Kind = "logits"
    groups: Ints | None = None
    weights: Floats | None = None
    rule: Rule = "max_probability"
    evidence: NDArray[np.float32] | None = None
    unit: float = 1.0
    gains: bool = True

    def __post_init__(self) -> None:
        n, classes = self.scores.shape[1:]
        if n == 0:
            raise UserError(f"the {self.split} split is empty")
        for name, column in (("labels", self.labels), ("groups", self.groups), ("weights", self.weights)):
            if column is not None and column.shape != (n,):
                raise UserError(f"the {self.split} split has {n} samples, and {name} of shape {column.shape}")
        if self.labels.min() < 0 or self.labels.max() >= classes:
            wrong = int(self.labels.min() if self.labels.min() < 0 else self.labels.max())
            raise UserError(f"a label of the {self.split} split is {wrong}; the network has {classes} classes")
        if self.weights is not None and not (np.isfinite(self.weights).all() and self.weights.min() >= 0):
            raise UserError(f"a weight of the {self.split} split is negative, NaN or infinite")
        if self.weights is not None and self.weights.sum() <= 0:
            raise UserError(f"all weights of the {self.split} split are 0")
        hint = "check the data's scale against `input:` in passes.yaml"
        if not np.isfinite(self.scores).all():
            raise UserError(f"the network answers NaN or infinity to a sample of the {self.split} split", hint=hint)
        if n > 1 and (self.scores[-1] == self.scores[-1, :1]).all():
            raise UserError(f"the network gives every sample of the {self.split} split the same scores", hint=hint)

    def __len__(self) -> int:
        return int(self.scores.shape[1])

    @property
    def exits(self) -> int:
        """Number of exits K, the last classifier not counted."""
        return int(self.scores.shape[0]) - 1

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.scores.shape[2])

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each exit is right, bool [K + 1, n]."""
        named = self.named == self.labels
        return named if self.gains else named & named[-1]

    def confidences(self, temperatures: tuple[float, ...]) -> NDArray[np.float32]:
        """The rule's score of every exit but the last classifier, float32 [K, n]."""
        return self._rated(self.rule, temperatures)

    def probabilities(self, temperatures: tuple[float, ...]) -> NDArray[np.float32]:
        """The largest probability of every exit but the last classifier, float32 [K, n], whatever the rule is."""
        return self._rated("max_probability", temperatures)

    def logits(self, exit: int) -> Floats:
        """What an exit's rule looks at, as real numbers: float64 [n, classes], the logarithm of probabilities."""
        evidence, kind = self._evidence(exit)
        real = evidence.astype(np.float64) * self.unit
        return np.log(np.maximum(real, float(SMALLEST_PROBABILITY))) if kind == "probabilities" else real

    def _evidence(self, exit: int) -> tuple[NDArray[np.float32], Kind]:
        return (self.scores[exit], self.kind) if self.evidence is None else (self.evidence[exit], "logits")

    def _rated(self, rule: Rule, temperatures: tuple[float, ...]) -> NDArray[np.float32]:
        rows = [confidence(rule, *self._evidence(k), t, self.unit) for k, t in enumerate(temperatures)]
        return np.stack(rows) if rows else np.empty((0, len(self)), np.float32)

    @cached_property
    def named(self) -> Ints:
        """The class that each exit names, the first of equals, int64 [K + 1, n]."""
        return self.scores.argmax(axis=2)

    def rows(self, samples: Ints) -> ScoreTable:
        """The table of some of the samples, int64 [m]."""
        return dataclasses.replace(
            self,
            scores=self.scores[:, samples],
            labels=self.labels[samples],
            groups=None if self.groups is None else self.groups[samples],
            weights=None if self.weights is None else self.weights[samples],
            evidence=None if self.evidence is None else self.evidence[:, samples],
        )

    def only(self, exits: Sequence[int]) -> ScoreTable:
        """The table of the network with these exits alone."""
        evidence = None if self.evidence is None else self.evidence[list(exits)]
        return dataclasses.replace(self, scores=self.scores[[*exits, -1]], evidence=evidence)

    @cached_property
    def sample_weights(self) -> Floats:
        """Weights that add up to 1, float64 [n]."""
        weights = np.ones(len(self)) if self.weights is None else self.weights.astype(np.float64)
        return weights / weights.sum()


@dataclass(frozen=True)
class Tables:
    """The tables of all splits of one network, whose exits stand at `places` [K]. costs: MACs; priced: another metric,
    where thresholds are solved for that. Raises ValueError where the numbers of exits differ.
    """

    places: tuple[str, ...]
    costs: Costs
    calibration: ScoreTable
    test: ScoreTable | None = None
    priced: Costs | None = None

    def __post_init__(self) -> None:
        counts = {len(self.places), len(self.costs.head), self.calibration.exits}
        counts |= set() if self.test is None else {self.test.exits}
        counts |= set() if self.priced is None else {len(self.priced.head)}
        if len(counts) != 1:
            raise ValueError(f"places, costs and tables have different numbers of exits: {sorted(counts)}")

    @property
    def solved(self) -> Costs:
        """The costs that thresholds are solved for."""
        return self.costs if self.priced is None else self.priced

    def only(self, exits: Sequence[int]) -> Tables:
        """The tables of the network with these exits alone."""
        test = None if self.test is None else self.test.only(exits)
        places = tuple(self.places[k] for k in exits)
        priced = None if self.priced is None else self.priced.only(exits)
        return Tables(places, self.costs.only(exits), self.calibration.only(exits), test, priced)


@dataclass(frozen=True)
class Policy:
    """A threshold and a temperature per exit [K]. A sample stops at the first exit whose confidence is at least its
    threshold, both float32. A threshold of inf takes the exit out of the network.

    class_thresholds: [K][classes], or none: what the confidence must reach besides, by the class that the exit names,
    the first of equals; as those of `ee.exit`. solver: which one found it; `branch` where the optimum on its grid of
    thresholds is not proven. shared: whether all exits that stay have the same threshold by intent. gap: how much less
    the optimum on the grid can cost at most, as a share of what the policy costs on the split it was chosen on, of the
    exits and under the limits that the solver was given: 0 where it is the optimum, None where that is not known.
    grid_gap: the same for any thresholds whatever. Raises ValueError where there are not as many class thresholds as
    exits.
    """

    thresholds: tuple[float, ...]
    temperatures: tuple[float, ...]
    rule: Rule = "max_probability"
    solver: str = ""
    shared: bool = False
    class_thresholds: tuple[tuple[float, ...], ...] = ()
    gap: float | None = None
    grid_gap: float | None = None

    def __post_init__(self) -> None:
        if self.class_thresholds and len(self.class_thresholds) != len(self.thresholds):
            raise ValueError(f"class thresholds of {len(self.class_thresholds)} of {len(self.thresholds)} exits")

    @property
    def active(self) -> NDArray[np.bool_]:
        """Which exits stay, bool [K]."""
        return np.array([not math.isinf(t) for t in self.thresholds], bool)

    def only(self, exits: Sequence[int]) -> Policy:
        """That of the network with these exits alone."""
        return dataclasses.replace(
            self,
            thresholds=tuple(self.thresholds[k] for k in exits),
            temperatures=tuple(self.temperatures[k] for k in exits),
            class_thresholds=tuple(self.class_thresholds[k] for k in exits) if self.class_thresholds else (),
        )
