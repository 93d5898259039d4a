"""Coordinate descent: each exit's best threshold in turn, the others fixed, in time like exits * samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from eennc.policy.compiled import compiled, inlined
from eennc.policy.solvers.per_exit import Grids
from eennc.policy.solvers.problem import Problem, Tally, add, excess, keeps, lose, put, tally
from eennc.policy.table import Floats, Ints

MOST_KINDS = 64
"""Kinds of samples * limits up to which codes stand for samples."""
CONSTRAINED = -1.0
"""In the place of a price: the limits themselves."""


class Coded(NamedTuple):
    """A table as descents read it, and the arrays they work in.

    Samples with the same share, worth and weights are of one of Z kinds; what stopping at an exit comes to depends on
    a code alone, (kind * (K + 1) + exit) * 3 + lost + 1. share, worth: float64 [Z]. weights: float64 [M, Z]. With too
    many kinds Z is 0, codes are those of one kind, and each sample is looked up. bounded: whether squares play a role.
    levels: [K, n]. codes: [K + 1, n]. behind [K, n]: the code of a sample that passes exit k. alive, left: int32 [n].
    """

    levels: NDArray[Any]
    codes: NDArray[Any]
    share: Floats
    worth: Floats
    weights: Floats
    bounded: bool
    behind: NDArray[Any]
    alive: NDArray[np.int32]
    left: NDArray[np.int32]


def code(problem: Problem, grids: Grids, most: int = MOST_KINDS) -> Coded:
    """What descents take; of more kinds * limits than `most`, or with groups, each sample is of its own kind."""
    exits, n = grids.levels.shape
    kind, first = _kinds((problem.share, problem.worth, *problem.weights), most)
    if len(first) * len(problem.limits) > most or len(problem.cluster) > 0:
        kind, first = np.zeros(n, np.int64), np.zeros(0, np.int64)
    codes = cast(Ints, (kind * (exits + 1) + np.arange(exits + 1)[:, None]) * 3 + problem.lost + 1)
    largest = max(int(codes.max()), grids.never)
    small = np.uint8 if largest < 2**8 else np.uint16 if largest < 2**16 else np.int32
    return Coded(
        grids.levels.astype(small),
        codes.astype(small),
        problem.share[first],
        problem.worth[first],
        problem.weights[:, first],
        bool((problem.bounds > 0).any()),
        np.empty((exits, n), small),
        np.empty(n, np.int32),
        np.empty(n, np.int32),
    )


def _kinds(rows: Sequence[Floats], most: int) -> tuple[Ints, Ints]:
    """Each sample's kind [n], samples with the same values being of one, and the first sample of each; of more than
    `most` kinds not all are told apart.
    """
    n = len(rows[0])
    kind: Ints = np.zeros(n, np.int64)
    first: Ints = np.zeros(1, np.int64)
    for row in rows:
        # most rows have one value
        if len(first) <= most and (row != row[0]).any():
            value: Ints = np.unique(row, return_inverse=True)[1]
            parts: tuple[Ints, Ints, Ints] = np.unique(kind * n + value, return_index=True, return_inverse=True)
            first, kind = parts[1:]
    return kind, first


@inlined
def score_of(cost: float, over: float, price: float, ceiling: float) -> float:
    """What a descent makes smaller: cost + price * excess, or under the limits the cost; a policy that breaks one comes
    behind all that keep them, the one that breaks them least first. No policy costs more than `ceiling`.
    """
    if price >= 0:
        return cost + price * over
    if keeps(over):
        return cost
    return 2 * ceiling * (1 + over)


@compiled
def go_round(
    problem: Problem, coded: Coded, never: int, indices: Ints, price: float, update: bool
) -> tuple[float, int, int]:
    """Every exit's best threshold in turn, the other exits fixed. With `update` each is set at once in `indices`, else
    nothing is changed. Returns the best score, and the exit and index that it was found at last.

    Exits in front of exit k have decided who reaches it, and those behind where each of these would go, which is
    known beforehand; so a round takes time in proportion to exits * samples.
    """
    exits, n = coded.levels.shape
    behind, alive = coded.behind, coded.alive
    behind[exits - 1] = coded.codes[exits]
    for k in range(exits - 1, 0, -1):
        _fall(coded.levels[k], coded.codes[k], indices[k], behind[k], behind[k - 1])
    # as of the beginning of the round, also for those that stop in front
    heads_to = np.zeros(exits + 1)
    for k in range(exits):
        heads_to[k] = heads_to[k - 1] + (problem.head[k] if indices[k] < never else 0.0)
    heads_to[exits] = heads_to[exits - 1]
    until = problem.backbone + heads_to
    values = _values(problem, coded, until)

    for s in range(n):
        alive[s] = s
    count = n
    heads = 0.0
    share = problem.share.sum()
    ceiling = problem.backbone[-1] + problem.head.sum() + problem.worth.sum()
    nothing, gone, here = tally(problem, 1), tally(problem, 1), tally(problem, never + 1)
    best_score, best_exit, best_index = np.inf, 0, never
    for k in range(exits):
        put(here, 0, gone, 0)
        for i in range(1, never + 1):
            put(here, i, nothing, 0)
        if len(coded.share) > 0:
            _spread_kinds(coded, values, k, count, here)
        else:
            _spread_samples(problem, coded, until, k, count, here)
        here.cost[0] += share * (heads + problem.head[k] - heads_to[k])
        here.cost[never] -= share * problem.head[k]
        alone = (indices < never).sum() == (1 if indices[k] < never else 0)
        chosen, chosen_score = never, np.inf
        for i in range(never + 1):
            if i > 0:
                add(here, i, here, i - 1)
            # without any exit the network is the base network, for certain
            over = -problem.limits.min() if i == never and alone else excess(problem, here, i)
            score = score_of(here.cost[i], over, price, ceiling)
            # of equal ones the highest threshold
            if score <= chosen_score:
                chosen, chosen_score = i, score
        if update or chosen_score < best_score:
            best_score, best_exit, best_index = chosen_score, k, chosen
        if update:
            indices[k] = chosen
        if indices[k] == never:
            continue
        heads += problem.head[k]
        count, stopped = _leave(coded.levels[k], indices[k], alive, count, coded.left)
        if len(coded.share) > 0:
            left = _stop_kinds(coded, values, k, stopped, gone)
        else:
            left = _stop_samples(problem, coded, until, k, stopped, gone)
        gone.cost[0] += left * (heads - heads_to[k])
        share -= left
    return best_score, best_exit, best_index


@compiled
def _fall(levels: NDArray[Any], codes: NDArray[Any], index: int, behind: NDArray[Any], into: NDArray[Any]) -> None:
    """Where samples go that pass the exit in front: stop here, or go where those go that pass this exit; [n]."""
    at = levels.dtype.type(index)
    # in two loops, as the compiler makes vector instructions of these
    for s in range(len(into)):
        into[s] = behind[s]
    for s in range(len(into)):
        if levels[s] > at:
            into[s] = codes[s]


@compiled
def _leave(levels: NDArray[Any], index: int, alive: NDArray[np.int32], count: int, left: NDArray[np.int32]) -> Any:
    """Take those who stop out of the first `count` of `alive`, and put them into `left`; returns how many there are of
    either.
    """
    at = levels.dtype.type(index)
    stay, gone = 0, 0
    for a in range(count):
        s = alive[a]
        stops = levels[s] > at
        alive[stay] = s
        left[gone] = s
        gone += stops
        stay += not stops
    return stay, gone


@compiled
def _values(problem: Problem, coded: Coded, until: Floats) -> Floats:
    """What a code comes to, [2 + 2 * M, codes]: the cost of stopping there, if to go as far costs `until` [K + 1]; per
    limit the loss, then per limit its square; the share.
    """
    limits = len(problem.limits)
    values = np.zeros((2 + 2 * limits, len(coded.share) * len(until) * 3))
    for kind in range(len(coded.share)):
        for k in range(len(until)):
            for lost in range(-1, 2):
                code = (kind * len(until) + k) * 3 + lost + 1
                values[0, code] = coded.share[kind] * until[k] + lost * coded.worth[kind]
                for m in range(limits):
                    part = lost * coded.weights[m, kind]
                    values[1 + m, code], values[1 + limits + m, code] = part, part * part
                values[-1, code] = coded.share[kind]
    return values


@compiled
def _spread_kinds(coded: Coded, values: Floats, k: int, count: int, into: Tally) -> None:
    """Add to `into` at 0 what the samples alive come to that all stop at exit k, and at each level what changes where
    those of the level pass; costs are those of the values.
    """
    limits = into.loss.shape[1]
    sums = np.zeros((len(values), len(into.cost)))
    for v in range(0, len(values) if coded.bounded else 1 + limits, 2):
        _spread(
            coded.levels[k], coded.codes[k], coded.behind[k], coded.alive, count, values[v], values[v + 1],
            sums[v], sums[v + 1],
        )  # fmt: skip
    for i in range(len(into.cost)):
        into.cost[i] += sums[0, i]
        for m in range(limits):
            into.loss[i, m] += sums[1 + m, i]
            into.squares[i, m] += sums[1 + limits + m, i]


@compiled
def _spread(
    levels: NDArray[Any],
    own: NDArray[Any],
    behind: NDArray[Any],
    alive: NDArray[np.int32],
    count: int,
    first: Floats,
    second: Floats,
    into_first: Floats,
    into_second: Floats,
) -> None:
    """Add at each sample's level the value of its code behind less that of its own, and at 0 that of its own; for two
    values in one pass.
    """
    total_first, total_second = 0.0, 0.0
    for a in range(count):
        s = alive[a]
        level, here, there = levels[s], own[s], behind[s]
        total_first += first[here]
        total_second += second[here]
        into_first[level] += first[there] - first[here]
        into_second[level] += second[there] - second[here]
    into_first[0] += total_first
    into_second[0] += total_second


@compiled
def _spread_samples(problem: Problem, coded: Coded, until: Floats, k: int, count: int, into: Tally) -> None:
    """What `_spread_kinds` does, for samples that are all of their own kind."""
    for a in range(count):
        s = coded.alive[a]
        level, to = coded.levels[k, s], coded.behind[k, s] // 3
        into.cost[0] += problem.share[s] * until[k]
        into.cost[level] += problem.share[s] * (until[to] - until[k])
        lose(problem, into, 0, s, k, 1)
        if problem.lost[k, s] != problem.lost[to, s]:
            lose(problem, into, level, s, to, 1)
            lose(problem, into, level, s, k, -1)


@compiled
def _stop_kinds(coded: Coded, values: Floats, k: int, stopped: int, into: Tally) -> float:
    """Add to `into` at 0 what those `left` come to that stop at exit k; returns their share."""
    limits = into.loss.shape[1]
    sums = np.zeros(len(values))
    counts = np.zeros(values.shape[1], np.int64)
    own = coded.codes[k]
    for a in range(stopped):
        counts[own[coded.left[a]]] += 1
    for v in range(len(values)):
        for code in range(len(counts)):
            sums[v] += counts[code] * values[v, code]
    into.cost[0] += sums[0]
    for m in range(limits):
        into.loss[0, m] += sums[1 + m]
        into.squares[0, m] += sums[1 + limits + m]
    return float(sums[-1])


@compiled
def _stop_samples(problem: Problem, coded: Coded, until: Floats, k: int, stopped: int, into: Tally) -> float:
    """What `_stop_kinds` does, for samples that are all of their own kind."""
    share = 0.0
    for a in range(stopped):
        s = coded.left[a]
        share += problem.share[s]
        lose(problem, into, 0, s, k, 1)
    into.cost[0] += share * until[k]
    return float(share)


@compiled
def descend(problem: Problem, coded: Coded, never: int, start: Ints, price: float) -> tuple[Ints, float]:
    """The local optimum that coordinate descent reaches from `start`, and its score."""
    indices = start.copy()
    smallest = 1e-9 * problem.backbone[-1]
    last = np.inf
    while True:
        score, _, _ = go_round(problem, coded, never, indices, price, True)
        if not score < last - smallest:
            return indices, score
        last = score


@compiled
def polish(problem: Problem, coded: Coded, never: int, start: Ints) -> Ints:
    """Move pairs of thresholds under the limit, one by a few steps or out, the other to its best, while that helps."""
    indices = start.copy()
    smallest = 1e-9 * problem.backbone[-1]
    last, _, _ = go_round(problem, coded, never, indices, CONSTRAINED, True)
    improved = True
    while improved:
        improved = False
        for k in range(len(indices)):
            for step in (-1, 1, -8, 8, never):
                moved = min(max(indices[k] + step, 0), never)
                if moved == indices[k]:
                    continue
                trial = indices.copy()
                trial[k] = moved
                score, exit, index = go_round(problem, coded, never, trial, CONSTRAINED, False)
                if score < last - smallest:
                    trial[exit] = index
                    indices = trial
                    last = score
                    improved = True
    return indices
