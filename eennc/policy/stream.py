"""Samples that come one after the other: the rule `temporal-patience`, and thresholds for it.

An exit fires where its score reaches its threshold and it names the class that was answered last; nothing was at the
start of a sequence. Each answer decides what the next one may be, so a policy is played through sample by sample, and
sequences are what is independent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from eennc.ir.rules import NO_CLASS
from eennc.policy.compiled import compiled
from eennc.policy.statistics import SLACK, Loss, Statistic, paired_loss
from eennc.policy.stream_table import Bools, Floats32, Ints32, StreamSplit, StreamTable
from eennc.policy.summary import ExitRow
from eennc.policy.table import Costs

ROUNDS = 20
"""Rounds over the exits after which the search ends, if it still finds something."""


@dataclass(frozen=True)
class StreamOutcome:
    """What thresholds do on a split. exits, answers: int32 [n]. macs: mean per sample. loss: of accuracy against the
    last classifier alone, its bounds by sequences where there are several.
    """

    exits: Ints32
    answers: Ints32
    accuracy: float
    base_accuracy: float
    macs: float
    base_macs: int
    loss: Loss

    @property
    def saved(self) -> float:
        """Share of the base network's MACs."""
        return 1 - self.macs / self.base_macs if self.base_macs else 0.0


def evaluate_stream(
    confidences: Floats32, predictions: Ints32, thresholds: Floats32, starts: Bools
) -> tuple[Ints32, Ints32]:
    """The exit that answers each sample (K for the last classifier) and the class that it names, int32 [n] each.

    confidences [K, n], predictions [K + 1, n], thresholds [K] (inf never fires), starts [n], as in `StreamTable`.
    Raises ValueError for shapes that do not fit.
    """
    exits, n = confidences.shape
    if predictions.shape != (exits + 1, n) or thresholds.shape != (exits,) or starts.shape != (n,):
        raise ValueError(
            f"confidences {confidences.shape} do not go with predictions {predictions.shape}, thresholds "
            f"{thresholds.shape} and starts {starts.shape}"
        )
    return _walk(
        np.ascontiguousarray(confidences, np.float32),
        np.ascontiguousarray(predictions, np.int32),
        np.ascontiguousarray(thresholds, np.float32),
        np.ascontiguousarray(starts, np.bool_),
        NO_CLASS,
    )


@compiled
def _walk(
    confidences: Floats32, predictions: Ints32, thresholds: Floats32, starts: Bools, nothing: int
) -> tuple[Ints32, Ints32]:
    exits, n = confidences.shape
    taken = np.empty(n, np.int32)
    answers = np.empty(n, np.int32)
    last = nothing
    for i in range(n):
        if starts[i]:
            last = nothing
        left = exits
        for k in range(exits):
            if predictions[k, i] == last and thresholds[k] < np.inf and confidences[k, i] >= thresholds[k]:
                left = k
                break
        last = predictions[left, i]
        taken[i] = left
        answers[i] = last
    return taken, answers


def stream_outcome(table: StreamTable, costs: Costs, thresholds: Floats32) -> StreamOutcome:
    """Play the thresholds [K] through the table; the heads of exits at inf are not in the network."""
    exits, answers = evaluate_stream(table.confidences, table.predictions, thresholds, table.starts)
    weights = table.sample_weights
    base = table.predictions[-1] == table.labels
    right = answers == table.labels
    return StreamOutcome(
        exits=exits,
        answers=answers,
        accuracy=float(weights @ right),
        base_accuracy=float(weights @ base),
        macs=float(weights @ costs.stopping(np.isfinite(thresholds))[exits]),
        base_macs=int(costs.backbone[-1]),
        loss=paired_loss(base, right, weights, table.sequences),
    )


def solve_stream(
    table: StreamTable, costs: Costs, *, limit: float, statistic: Statistic = "upper95", steps: int = 50
) -> Floats32:
    """Thresholds float32 [K] of low mean MACs whose loss of accuracy keeps `limit`; inf for an exit that does not pay.

    First one threshold for all exits, then coordinate descent from the best of those and from no exit at all: each exit
    in turn takes the one of `steps` values of its own scores that costs least, until nothing gets cheaper. Not the
    optimum, but no single exit's threshold on the grid would be cheaper. No exit at all always keeps the limit.
    """
    search = _Search(table, costs, limit, statistic)
    count = len(table.confidences)
    never = np.full(count, np.inf, np.float32)
    shared = search.best(never, (np.full(count, t, np.float32) for t in _grid(table.confidences.ravel(), steps)))
    grids = [_grid(row, steps) for row in table.confidences]
    found = [search.descend(start, grids) for start in (shared, never)]
    return min(found, key=search.macs)


def _grid(scores: Floats32, steps: int) -> Floats32:
    """At most `steps` of the scores, evenly spread over the samples, and inf."""
    if not len(scores):
        return np.array([np.inf], np.float32)
    ordered = np.unique(np.sort(scores)[np.linspace(0, len(scores) - 1, steps).astype(np.int64)])
    return np.append(ordered, np.float32(np.inf)).astype(np.float32)


class _Search:
    def __init__(self, table: StreamTable, costs: Costs, limit: float, statistic: Statistic) -> None:
        self.table = table
        self.costs = costs
        self.limit = limit
        self.statistic: Statistic = statistic
        self.weights = table.sample_weights
        self.base = table.predictions[-1] == table.labels
        self.sequences = table.sequences

    def macs(self, thresholds: Floats32) -> float:
        """Mean per sample."""
        return self._played(thresholds)[1]

    def best(self, start: Floats32, others: Iterable[Floats32]) -> Floats32:
        """The cheapest of those that keep the limit; `start`, which does, where none is cheaper."""
        found, least = start, self.macs(start)
        for thresholds in others:
            answers, macs = self._played(thresholds)
            # the loss is what takes time
            if macs < least * (1 - SLACK) and self._keeps(answers, thresholds):
                found, least = thresholds, macs
        return found

    def descend(self, start: Floats32, grids: list[Floats32]) -> Floats32:
        """Change one exit at a time while that makes it cheaper."""
        found = start
        for _ in range(ROUNDS):
            before = found
            for k, grid in enumerate(grids):
                found = self.best(found, (_with(found, k, t) for t in grid))
            if found is before:
                break
        return found

    def _played(self, thresholds: Floats32) -> tuple[Ints32, float]:
        table = self.table
        exits, answers = evaluate_stream(table.confidences, table.predictions, thresholds, table.starts)
        return answers, float(self.weights @ self.costs.stopping(np.isfinite(thresholds))[exits])

    def _keeps(self, answers: Ints32, thresholds: Floats32) -> bool:
        if not np.isfinite(thresholds).any():
            # it is the base network
            return True
        right = answers == self.table.labels
        loss = paired_loss(self.base, right, self.weights, self.sequences).of(self.statistic)
        return math.isfinite(loss) and loss <= self.limit + SLACK


def _with(thresholds: Floats32, k: int, threshold: np.float32) -> Floats32:
    changed = thresholds.copy()
    changed[k] = threshold
    return changed


def stream_split(
    split: str, table: StreamTable, costs: Costs, thresholds: Floats32, places: Sequence[str], sequences: int | None
) -> StreamSplit:
    """Play thresholds [K] through a split; exits at inf have left the network."""
    found = stream_outcome(table, costs, thresholds)
    stays = np.isfinite(thresholds)
    stopping = costs.stopping(stays)
    weights, right = table.sample_weights, found.answers == table.labels
    rows: list[ExitRow] = []
    counts: list[int] = []
    for k in [*(int(k) for k in np.flatnonzero(stays)), len(stays)]:
        here = found.exits == k
        share = float(weights[here].sum())
        last = k == len(stays)
        counts.append(int(here.sum()))
        rows.append(
            ExitRow(
                exit=len(rows),
                place="classifier" if last else places[k],
                share=share,
                threshold=None if last else float(thresholds[k]),
                temperature=None if last else 1.0,
                accuracy=float(weights[here] @ right[here]) / share if share > 0 else None,
                macs=int(stopping[k]),
            )
        )
    return StreamSplit(
        split=split,
        samples=len(table.labels),
        sequences=sequences,
        accuracy=found.accuracy,
        base_accuracy=found.base_accuracy,
        macs=found.macs,
        base_macs=found.base_macs,
        saved=found.saved,
        loss=found.loss,
        exits=tuple(rows),
        counts=tuple(counts),
    )
