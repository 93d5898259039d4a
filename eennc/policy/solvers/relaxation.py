"""A lower bound on what any policy of a grid costs, by Lagrangian decomposition along the chain of exits.

Two relaxed problems have to agree on what each sample does at each two neighbouring exits: fires, passes, or finds the
exit taken out. One chooses thresholds, exactly, by a dynamic program over pairs of neighbours; the other lets every
sample stop where that suits it best, by a dynamic program of its own. A multiplier per sample, pair and joint outcome
pays for disagreement, one more for the limit on the loss. Any multipliers give a lower bound (Guignard and Kim 1987);
a subgradient ascent with Polyak's step, aimed at the cost of the best policy known, makes it high.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eennc.policy.compiled import compiled
from eennc.policy.solvers.per_exit import policy_value
from eennc.policy.solvers.problem import Problem, keeps
from eennc.policy.table import Floats, Ints

MEMORY = 0.9
"""How much of the last direction an ascent keeps."""
PATIENCE = 20
"""Steps without a higher bound after which they are made shorter."""
SHORTENED = 0.7
SHORTEST = 1e-3
PRICE_SCALE = 1500.0
"""Of the price's coordinate, against multipliers whose gradients are 0 or 1; any is right, this one converges well."""
FORBIDDEN = 1e30


class Linear(NamedTuple):
    """The problem with a linear limit, which every policy of interest keeps: the sum of regret <= limit.

    Costs are in networks. regret: float64 [K + 1, n]. worth: float64 [K + 1, n], what stopping adds to the cost. share:
    float64 [n]. backbone, head: float64 [K + 1], [K].
    """

    regret: Floats
    worth: Floats
    share: Floats
    backbone: Floats
    head: Floats
    limit: float


@compiled
def ascend(
    problem: Problem,
    linear: Linear,
    levels: NDArray[np.int32],
    never: int,
    low: Ints,
    high: Ints,
    multipliers: NDArray[np.float32],
    price: float,
    target: float,
    steps: int,
    best: Ints,
) -> tuple[float, float, float, Floats, Floats]:
    """Raise the bound for policies whose indices lie in [low, high] [K], and stop where it reaches `target`.

    Changes multipliers float32 [n, K - 1, 9] to the best found, and `best` to the cheapest policy met that keeps the
    problem's limit if it costs less than `target`. Returns the bound, its price of a unit of loss, the cost of `best`
    (inf where it was not changed), how far each exit's chosen index strayed, in standard deviations, and its mean, [K].
    """
    exits, n = levels.shape
    network = problem.backbone[exits]
    bound, bound_price, found = -np.inf, price, np.inf
    kept = multipliers.copy()
    direction = np.zeros(multipliers.shape, np.float32)
    price_direction = 0.0
    shortened, since = 1.0, 0
    chosen = np.zeros(exits, np.int64)
    outcomes = np.zeros((n, exits), np.int8)
    mean, square = np.zeros(exits), np.zeros(exits)
    counted = 0.0
    for _ in range(steps):
        value = thresholds_part(levels, never, low, high, multipliers, chosen) - price * linear.limit
        samples, loss = samples_part(linear, levels, never, low, high, multipliers, price, outcomes)
        value += samples
        counted = 0.98 * counted + 1
        for k in range(exits):
            mean[k] = 0.98 * mean[k] + chosen[k]
            square[k] = 0.98 * square[k] + chosen[k] * chosen[k]
        if value > bound:
            bound, bound_price, since = value, price, 0
            kept[:] = multipliers
            if bound >= target:
                break
        else:
            since += 1
            if since >= PATIENCE:
                shortened *= SHORTENED
                since = 0
                if shortened < SHORTEST:
                    break
                cost, over = policy_value(problem, levels, never, chosen)
                if cost / network < min(found, target) and keeps(over):
                    found = float(cost / network)
                    best[:] = chosen
        price_direction = MEMORY * price_direction + PRICE_SCALE * (loss - linear.limit)
        length = turn(levels, never, chosen, outcomes, direction) + price_direction**2
        if length < 1e-200:
            break
        step = shortened * max(target - value, 1e-9) / length
        for s in range(n):
            for k in range(exits - 1):
                for o in range(9):
                    multipliers[s, k, o] += np.float32(step * direction[s, k, o])
        price = max(0.0, price + step * PRICE_SCALE * price_direction)
    multipliers[:] = kept
    mean /= counted
    return bound, bound_price, found, np.sqrt(np.maximum(square / counted - mean * mean, 0)), mean


@compiled
def outcome_at(level: int, index: int, never: int) -> int:
    """0: fires, 1: passes, 2: the exit is out."""
    if index == never:
        return 2
    return 0 if level > index else 1


@compiled
def turn(
    levels: NDArray[np.int32], never: int, chosen: Ints, outcomes: NDArray[np.int8], direction: NDArray[np.float32]
) -> float:
    """Bend the ascent's direction towards where the two parts disagree; returns its squared length."""
    n, pairs, _ = direction.shape
    length = 0.0
    for s in range(n):
        for k in range(pairs):
            for o in range(9):
                direction[s, k, o] *= MEMORY
            ours = outcome_at(levels[k, s], chosen[k], never) * 3 + outcome_at(levels[k + 1, s], chosen[k + 1], never)
            theirs = outcomes[s, k] * 3 + outcomes[s, k + 1]
            if ours != theirs:
                direction[s, k, ours] += 1
                direction[s, k, theirs] -= 1
            for o in range(9):
                length += direction[s, k, o] ** 2
    return length


@compiled
def thresholds_part(
    levels: NDArray[np.int32], never: int, low: Ints, high: Ints, multipliers: NDArray[np.float32], chosen: Ints
) -> float:
    """The least sum of multipliers over all policies in the box; puts the policy into `chosen`."""
    exits = len(levels)
    value = np.full((exits, never + 1), FORBIDDEN)
    origin = np.zeros((exits, never + 1), np.int64)
    value[0, low[0] : high[0] + 1] = 0.0
    for k in range(1, exits):
        both = pair_sums(levels, never, k, multipliers)
        for i in range(low[k - 1], high[k - 1] + 1):
            for j in range(low[k], high[k] + 1):
                total = value[k - 1, i] + both[i, j]
                if total < value[k, j]:
                    value[k, j] = total
                    origin[k, j] = i
    index = int(np.argmin(value[exits - 1]))
    least = value[exits - 1, index]
    for k in range(exits - 1, -1, -1):
        chosen[k] = index
        index = origin[k, index]
    return least


@compiled
def pair_sums(levels: NDArray[np.int32], never: int, k: int, multipliers: NDArray[np.float32]) -> Floats:
    """The multipliers of all samples with index i at exit k - 1 and j at exit k, float64 [never + 1, never + 1]: made
    of their differences along both.
    """
    both = np.zeros((never + 1, never + 1))
    left_out, right_out, out = np.zeros(never + 1), np.zeros(never + 1), 0.0
    for s in range(levels.shape[1]):
        a, b, m = levels[k - 1, s], levels[k, s], multipliers[s, k - 1]
        both[0, 0] += m[0]
        both[a, 0] += m[3] - m[0]
        both[0, b] += m[1] - m[0]
        both[a, b] += m[4] - m[3] - m[1] + m[0]
        right_out[0] += m[2]
        right_out[a] += m[5] - m[2]
        left_out[0] += m[6]
        left_out[b] += m[7] - m[6]
        out += m[8]
    for i in range(never + 1):
        for j in range(1, never + 1):
            both[i, j] += both[i, j - 1]
    for i in range(1, never + 1):
        left_out[i] += left_out[i - 1]
        right_out[i] += right_out[i - 1]
        for j in range(never + 1):
            both[i, j] += both[i - 1, j]
    both[:, never] = right_out
    both[never, :] = left_out
    both[never, never] = out
    return both


@compiled
def tighten(
    linear: Linear,
    levels: NDArray[np.int32],
    never: int,
    low: Ints,
    high: Ints,
    multipliers: NDArray[np.float32],
    price: float,
    target: float,
) -> None:
    """Move the ends of the box, `low` and `high` [K], inwards past indices with which the bound is at least
    `target`.
    """
    exits, n = levels.shape
    outcomes = np.zeros((n, exits), np.int8)
    rest, _ = samples_part(linear, levels, never, low, high, multipliers, price, outcomes)
    rest -= price * linear.limit
    forward, backward = np.full((exits, never + 1), FORBIDDEN), np.full((exits, never + 1), FORBIDDEN)
    forward[0, low[0] : high[0] + 1] = 0.0
    backward[exits - 1, low[exits - 1] : high[exits - 1] + 1] = 0.0
    for k in range(1, exits):
        both = pair_sums(levels, never, k, multipliers)
        for i in range(low[k - 1], high[k - 1] + 1):
            for j in range(low[k], high[k] + 1):
                forward[k, j] = min(forward[k, j], forward[k - 1, i] + both[i, j])
    for k in range(exits - 1, 0, -1):
        both = pair_sums(levels, never, k, multipliers)
        for i in range(low[k - 1], high[k - 1] + 1):
            for j in range(low[k], high[k] + 1):
                backward[k - 1, i] = min(backward[k - 1, i], backward[k, j] + both[i, j])
    for k in range(exits):
        while low[k] < high[k] and rest + forward[k, low[k]] + backward[k, low[k]] >= target:
            low[k] += 1
        while low[k] < high[k] and rest + forward[k, high[k]] + backward[k, high[k]] >= target:
            high[k] -= 1


@compiled
def samples_part(
    linear: Linear,
    levels: NDArray[np.int32],
    never: int,
    low: Ints,
    high: Ints,
    multipliers: NDArray[np.float32],
    price: float,
    outcomes: NDArray[np.int8],
) -> tuple[float, float]:
    """The least sum of cost + price * regret - multipliers where every sample chooses among the outcomes that the box
    allows; puts these into `outcomes`. Returns the sum and the regret.
    """
    exits, n = levels.shape
    # [k, o]: outcome o at exit k and not stopped yet; [k, 3 + o]: stopped at k or before
    value, origin = np.zeros((exits, 6)), np.zeros((exits, 6), np.int64)
    total, loss = 0.0, 0.0
    for s in range(n):
        share = linear.share[s]
        for k in range(exits):
            level = levels[k, s]
            stop = share * (linear.backbone[k] + linear.head[k]) + linear.worth[k, s] + price * linear.regret[k, s]
            for o in range(3):
                value[k, o] = FORBIDDEN
                value[k, 3 + o] = FORBIDDEN
                if o == 0 and level <= low[k]:
                    continue
                if o == 1 and (low[k] == never or level > min(high[k], never - 1)):
                    continue
                if o == 2 and high[k] < never:
                    continue
                if k == 0:
                    value[0, 3 if o == 0 else o] = stop if o == 0 else (share * linear.head[0] if o == 1 else 0.0)
                    continue
                m = multipliers[s, k - 1]
                come, by = value[k - 1, 1] - m[3 + o], 1
                if value[k - 1, 2] - m[6 + o] < come:
                    come, by = value[k - 1, 2] - m[6 + o], 2
                if o == 0:
                    value[k, 3], origin[k, 3] = come + stop, by
                else:
                    value[k, o] = come + (share * linear.head[k] if o == 1 else 0.0)
                    origin[k, o] = by
                for before in range(3):
                    come = value[k - 1, 3 + before] - m[3 * before + o]
                    if come < value[k, 3 + o]:
                        value[k, 3 + o], origin[k, 3 + o] = come, 3 + before
        last = share * linear.backbone[exits] + price * linear.regret[exits, s]
        best, state = FORBIDDEN, 0
        for e in range(1, 6):
            here = value[exits - 1, e] + (last if e < 3 else 0.0)
            if here < best:
                best, state = here, e
        total += best
        stopped = exits
        for k in range(exits - 1, -1, -1):
            outcomes[s, k] = state % 3
            before = origin[k, state] if k > 0 else 0
            if state == 3 and before < 3:
                stopped = k
            state = before
        loss += linear.regret[stopped, s]
    return total, loss
