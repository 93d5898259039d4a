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

Singles = NDArray[np.float32]

MEMORY = 0.95
"""How much of the last direction an ascent keeps."""
PATIENCE = 50
"""Steps without a higher bound after which they are made shorter."""
SHORTENED = 0.7
SHORTEST = 1e-3
PRICE_SCALE = 1500.0
"""Of the price's coordinate, against multipliers whose gradients are 0 or 1; any is right, this one converges well."""
SMALL = 1e-3
"""A direction is kept as an array times a factor, which is multiplied in when it has become so small."""
FORBIDDEN = 1e30
FIRES, PASSES, OUT = 0, 1, 2
"""What an exit's threshold does to a sample. A pair's joint outcome is 3 * the first + the second."""


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
    multipliers: Singles,
    price: float,
    target: float,
    steps: int,
    best: Ints,
) -> tuple[float, float, float, Floats, Floats]:
    """Raise the bound for policies whose indices lie in [low, high] [K], and stop where it reaches `target`.

    Changes multipliers float32 [K - 1, 9, n] to the best found, and `best` to the cheapest policy met that keeps the
    problem's limits if it costs less than `target`. Returns the bound, rounded by single precision, its price of a unit
    of loss, the cost of `best` (inf where it was not changed), how far each exit's chosen index strayed, in standard
    deviations, and its mean, [K].
    """
    exits, n = levels.shape
    network = problem.backbone[exits]
    bound, bound_price, found = -np.inf, price, np.inf
    kept = multipliers.copy()
    both = pair_sums(levels, never, multipliers)
    # the direction of the multipliers is factor * direction, that of their sums per pair is `along`
    direction, factor, length = np.zeros(multipliers.shape, np.float32), 1.0, 0.0
    along, turn = np.zeros(both.shape), np.zeros(both.shape)
    price_direction = 0.0
    shortened, since = 1.0, 0
    chosen = np.zeros(exits, np.int64)
    mean, square, counted = np.zeros(exits), np.zeros(exits), 0.0
    stops, heads, regrets, bars = _singles(linear, levels, never, low, high)
    # for each exit and outcome: what it and all exits behind come to, for a sample that has stopped, and for one that
    # has not
    rest, going = np.zeros((exits + 1, 3, n), np.float32), np.zeros((exits + 1, 3, n), np.float32)
    if_stopped, if_going = np.zeros((exits, 3, n), np.float32), np.zeros((exits, 3, n), np.float32)
    flat, flat_direction = multipliers.reshape(-1), direction.reshape(-1)
    for _ in range(steps):
        value = thresholds_part(both, low, high, chosen) - price * linear.limit
        for s in range(n):
            going[exits, 0, s] = linear.share[s] * linear.backbone[exits] + price * linear.regret[exits, s]
        going[exits, 1:] = going[exits, 0]
        for k in range(exits - 1, -1, -1):
            for o in range(3):
                _put_sum(if_stopped[k, o], bars[k, o], rest[k + 1, o])
                _put_sum(if_going[k, o], bars[k, o], rest[k + 1, o] if o == FIRES else going[k + 1, o])
            _move(if_going[k, FIRES], 1.0, stops[k])
            _move(if_going[k, FIRES], price, regrets[k])
            _move(if_going[k, PASSES], 1.0, heads[k])
            if k > 0:
                m = multipliers[k - 1]
                for before in range(3):
                    x, row = if_stopped[k], 3 * before
                    _put_least(rest[k, before], x[0], x[1], x[2], m[row], m[row + 1], m[row + 2])
                    x = if_going[k]
                    _put_least(going[k, before], x[0], x[1], x[2], m[row], m[row + 1], m[row + 2])
        old, factor = factor, MEMORY * factor
        samples, loss, dot, wrong = _disagree(
            linear, levels, never, chosen, multipliers, if_stopped, if_going, direction, 1 / factor, turn
        )
        value += samples
        length = MEMORY**2 * length + 2 * MEMORY * old * dot + wrong
        _fade(along, MEMORY, turn)
        if factor < SMALL:
            length = 0.0
            for a in range(len(flat)):
                flat_direction[a] *= np.float32(factor)
                length += flat_direction[a] ** 2
            factor = 1.0
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
        if price <= 0 and price_direction < 0:
            price_direction = 0.0  # the price stays where it is
        whole = length + price_direction**2
        if whole < 1e-200:
            break
        step = shortened * max(target - value, 1e-9) / whole
        _move(flat, step * factor, flat_direction)
        _add_times(both, step, along)
        price = max(0.0, price + step * PRICE_SCALE * price_direction)
    multipliers[:] = kept
    mean /= max(counted, 1.0)
    variance = square / max(counted, 1.0) - mean * mean
    return bound, bound_price, found, np.sqrt(np.maximum(variance, 0.0)), mean


@compiled
def _singles(
    linear: Linear, levels: NDArray[np.int32], never: int, low: Ints, high: Ints
) -> tuple[Singles, Singles, Singles, Singles]:
    """In single precision what stopping costs and what passing a head costs [K, n], the regrets [K + 1, n], and what
    bars each outcome that the box does not allow [K, 3, n].
    """
    exits, n = levels.shape
    stops, heads = np.empty((exits, n), np.float32), np.empty((exits, n), np.float32)
    bars = np.zeros((exits, 3, n), np.float32)
    for k in range(exits):
        for s in range(n):
            stops[k, s] = linear.share[s] * (linear.backbone[k] + linear.head[k]) + linear.worth[k, s]
            heads[k, s] = linear.share[s] * linear.head[k]
            for o in range(3):
                if not allowed(levels[k, s], low[k], high[k], never, o):
                    bars[k, o, s] = FORBIDDEN
    return stops, heads, linear.regret.astype(np.float32), bars


@compiled
def allowed(level: int, low: int, high: int, never: int, outcome: int) -> bool:
    """Whether an index in [low, high] has this outcome for a sample of this level."""
    if outcome == OUT:
        return high == never
    if outcome == FIRES:
        return level > low
    return low < never and level <= min(high, never - 1)


@compiled
def outcome_at(level: int, index: int, never: int) -> int:
    """The outcome of an index for a sample of this level."""
    if index == never:
        return OUT
    return FIRES if level > index else PASSES


@compiled
def _put_sum(into: Singles, x: Singles, y: Singles) -> None:
    for s in range(len(into)):
        into[s] = x[s] + y[s]


@compiled
def _put_least(into: Singles, x: Singles, y: Singles, z: Singles, a: Singles, b: Singles, c: Singles) -> None:
    """The least of x - a, y - b, z - c; few arrays and no branches, so that it is vectorised."""
    for s in range(len(into)):
        first, second, third = x[s] - a[s], y[s] - b[s], z[s] - c[s]
        least = first if first < second else second
        into[s] = least if least < third else third


@compiled
def _move(into: Singles, by: float, along: Singles) -> None:
    factor = np.float32(by)
    for s in range(len(into)):
        into[s] += factor * along[s]


@compiled
def _fade(into: Floats, factor: float, other: Floats) -> None:
    for k in range(into.shape[0]):
        for i in range(into.shape[1]):
            for j in range(into.shape[2]):
                into[k, i, j] = factor * into[k, i, j] + other[k, i, j]


@compiled
def _add_times(into: Floats, factor: float, other: Floats) -> None:
    for k in range(into.shape[0]):
        for i in range(into.shape[1]):
            for j in range(into.shape[2]):
                into[k, i, j] += factor * other[k, i, j]


@compiled
def _disagree(
    linear: Linear,
    levels: NDArray[np.int32],
    never: int,
    chosen: Ints,
    multipliers: Singles,
    if_stopped: Singles,
    if_going: Singles,
    direction: Singles,
    push: float,
    turn: Floats,
) -> tuple[float, float, float, float]:
    """Follow every sample's best path, and push the direction to where the thresholds `chosen` disagree with it; `turn`
    becomes the sums per pair of that. Returns the sum of the paths' values, their regret, the old direction times the
    change, and the change's squared length.
    """
    exits, n = levels.shape
    outcome, ours, alive = np.zeros(n, np.int8), np.zeros(n, np.int8), np.zeros(n, np.bool_)
    total, loss, dot, wrong = 0.0, 0.0, 0.0, 0.0
    single = np.float32(push)
    x = if_going[0]
    for s in range(n):
        least, o = x[0, s], 0
        if x[1, s] < least:
            least, o = x[1, s], 1
        if x[2, s] < least:
            least, o = x[2, s], 2
        total += least
        outcome[s], alive[s] = o, o != FIRES
        if o == FIRES:
            loss += linear.regret[0, s]
        ours[s] = outcome_at(levels[0, s], chosen[0], never)
    for k in range(1, exits):
        m, d, table = multipliers[k - 1], direction[k - 1], turn[k - 1]
        table[:] = 0.0
        for s in range(n):
            row = 3 * outcome[s]
            x = if_going[k] if alive[s] else if_stopped[k]
            first, second, third = x[0, s] - m[row, s], x[1, s] - m[row + 1, s], x[2, s] - m[row + 2, s]
            o = 0
            if second < first:
                first, o = second, 1
            if third < first:
                o = 2
            if alive[s] and o == FIRES:
                loss += linear.regret[k, s]
                alive[s] = False
            mine = outcome_at(levels[k, s], chosen[k], never)
            a, b = 3 * ours[s] + mine, row + o
            ours[s], outcome[s] = mine, o
            if a != b:
                wrong += 2
                dot += d[a, s] - d[b, s]
                d[a, s] += single
                d[b, s] -= single
                mark(table, levels[k - 1, s], levels[k, s], a, 1.0)
                mark(table, levels[k - 1, s], levels[k, s], b, -1.0)
        sum_up(table)
    for s in range(n):
        if alive[s]:
            loss += linear.regret[exits, s]
    return total, loss, dot, wrong


@compiled
def mark(table: Floats, a: int, b: int, outcome: int, weight: float) -> None:
    """Add `weight` to a table of differences where the two indices give a sample of levels a and b this outcome."""
    never = len(table) - 1
    first, second = outcome // 3, outcome % 3
    # rows [top, end) and columns [left, right)
    top, end = (0, a) if first == FIRES else ((a, never) if first == PASSES else (never, never + 1))
    left, right = (0, b) if second == FIRES else ((b, never) if second == PASSES else (never, never + 1))
    table[top, left] += weight
    if end <= never:
        table[end, left] -= weight
    if right <= never:
        table[top, right] -= weight
        if end <= never:
            table[end, right] += weight


@compiled
def sum_up(table: Floats) -> None:
    """Turn a table of differences into sums."""
    rows, columns = table.shape
    for i in range(rows):
        total = 0.0
        for j in range(columns):
            total += table[i, j]
            table[i, j] = total
    for i in range(1, rows):
        for j in range(columns):
            table[i, j] += table[i - 1, j]


@compiled
def pair_sums(levels: NDArray[np.int32], never: int, multipliers: Singles) -> Floats:
    """The multipliers of all samples with index i at exit k and j at k + 1, float64 [K - 1, never + 1, never + 1]."""
    pairs, _, n = multipliers.shape
    both = np.zeros((pairs, never + 1, never + 1))
    for k in range(pairs):
        for o in range(9):
            for s in range(n):
                if multipliers[k, o, s] != 0:
                    mark(both[k], levels[k, s], levels[k + 1, s], o, multipliers[k, o, s])
        sum_up(both[k])
    return both


@compiled
def thresholds_part(both: Floats, low: Ints, high: Ints, chosen: Ints) -> float:
    """The least sum of multipliers over all policies in the box; puts the policy into `chosen`."""
    exits, size = len(low), both.shape[1]
    value, origin = np.full((exits, size), FORBIDDEN), np.zeros((exits, size), np.int64)
    value[0, low[0] : high[0] + 1] = 0.0
    for k in range(1, exits):
        now, came, table = value[k], origin[k], both[k - 1]
        for i in range(low[k - 1], high[k - 1] + 1):
            before = value[k - 1, i]
            for j in range(low[k], high[k] + 1):
                total = before + table[i, j]
                better = total < now[j]
                now[j] = total if better else now[j]
                came[j] = i if better else came[j]
    index = int(np.argmin(value[exits - 1]))
    least = value[exits - 1, index]
    for k in range(exits - 1, -1, -1):
        chosen[k] = index
        index = origin[k, index]
    return least
