"""A lower bound on what any policy of a grid costs: the chain of exits is cut into blocks that are enumerated.

Blocks need not agree on which samples come from one to the next: at each cut every sample has a multiplier, what the
block before is charged for handing it on and the one behind is paid for taking it over, which that does where it pays.
Any multipliers give a lower bound (Lagrangian decomposition, Guignard and Kim 1987); a subgradient ascent with Polyak's
step, aimed at the cost of the best policy known, makes it high. One more multiplier is the price of the limit on the
loss.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eennc.policy.compiled import compiled
from eennc.policy.solvers.blocks import Block, least_of_block
from eennc.policy.solvers.per_exit import policy_value
from eennc.policy.solvers.problem import Problem, keeps
from eennc.policy.table import Floats, Ints

MEMORY, RECENT = 0.9, 0.98
"""How much of the last direction an ascent keeps, and what a step counts against the next in the shares of indices."""
PATIENCE = 12
"""Steps without a higher bound after which they are made shorter."""
SHORTENED = 0.7
SHORTEST = 1e-3
PRICE_SCALE = 1500.0
"""Of the price's coordinate, against multipliers whose gradients are 0 or 1; any is right, this one converges well."""


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


class Grown(NamedTuple):
    """What an ascent found.

    bound, and its price of a unit of loss. cost: of the cheapest policy met, inf where none keeps the limits and costs
    less than was known. shares: float64 [K, T + 1], how often each index was chosen, the last steps above all.
    """

    bound: float
    price: float
    cost: float
    shares: Floats


@compiled
def priced(linear: Linear, price: float) -> Floats:
    """What stopping at each exit comes to without heads, float64 [K + 1, n]."""
    stop = np.empty_like(linear.worth)
    for k in range(len(stop)):
        for s in range(stop.shape[1]):
            stop[k, s] = linear.share[s] * linear.backbone[k] + linear.worth[k, s] + price * linear.regret[k, s]
    return stop


@compiled
def block_of(
    linear: Linear,
    stop: Floats,
    levels: NDArray[np.int32],
    never: int,
    low: Ints,
    high: Ints,
    cuts: Ints,
    multipliers: Floats,
    b: int,
) -> Block:
    """Block b of a chain that is cut at `cuts` [B + 1]: the exits from cuts[b] up to, without, cuts[b + 1].

    low, high [K]: the indices that are allowed. multipliers: float64 [B - 1, n], at the cuts between blocks.
    """
    exits = len(linear.head)
    begin, end = cuts[b], cuts[b + 1]
    own = np.empty((end - begin + 1, levels.shape[1]))
    own[:-1] = stop[begin:end]
    own[-1] = multipliers[b] if end < exits else stop[exits]
    if b > 0:
        own -= multipliers[b - 1]
    cap = 0.0 if b > 0 else np.inf
    return Block(
        own, cap, linear.share, linear.head[begin:end], levels[begin:end], never, low[begin:end], high[begin:end]
    )


@compiled
def _stop(head: Floats, levels: NDArray[np.int32], never: int, indices: Ints, s: int) -> tuple[float, int]:
    """The heads that sample s comes by at exits [k] with these indices, and which stops it; k where none does."""
    heads = 0.0
    for k in range(len(head)):
        if indices[k] < never:
            heads += head[k]
            if levels[k, s] > indices[k]:
                return heads, k
    return heads, len(head)


@compiled
def multipliers_of(
    linear: Linear, levels: NDArray[np.int32], never: int, policy: Ints, cuts: Ints, price: float
) -> Floats:
    """What each sample comes to behind each cut under a policy [K]: multipliers to begin with, float64 [B - 1, n]."""
    n = levels.shape[1]
    stop = priced(linear, price)
    found = np.empty((len(cuts) - 2, n))
    for b in range(len(found)):
        cut = cuts[b + 1]
        for s in range(n):
            heads, at = _stop(linear.head[cut:], levels[cut:], never, policy[cut:], s)
            found[b, s] = linear.share[s] * heads + stop[cut + at, s]
    return found


@compiled
def ascend(
    problem: Problem,
    linear: Linear,
    levels: NDArray[np.int32],
    never: int,
    low: Ints,
    high: Ints,
    cuts: Ints,
    multipliers: Floats,
    price: float,
    target: float,
    steps: int,
    pace: float,
    best: Ints,
) -> Grown:
    """Raise the bound for policies whose indices lie in [low, high] [K], and stop where it reaches `target`.

    Changes multipliers float64 [B - 1, n] to the best found, and `best` to the cheapest policy met that keeps the
    problem's limits if it costs less than `target`. pace: of the first steps, 1 is Polyak's.
    """
    exits, n = levels.shape
    network = problem.backbone[exits]
    bound, bound_price, found = -np.inf, price, np.inf
    kept = multipliers.copy()
    direction, turn = np.zeros(multipliers.shape), np.zeros(multipliers.shape)
    price_direction = 0.0
    since = 0
    chosen, none = np.zeros(exits, np.int64), np.zeros((0, 0))
    shares, weight, counted = np.zeros((exits, never + 1)), 1.0, 0.0
    for _ in range(steps):
        stop = priced(linear, price)
        value, loss = -price * linear.limit, 0.0
        turn[:] = 0.0
        for b in range(len(cuts) - 1):
            block = block_of(linear, stop, levels, never, low, high, cuts, multipliers, b)
            indices = chosen[cuts[b] : cuts[b + 1]]
            value += least_of_block(block, indices, none)
            loss += _disagree(linear, block, indices, cuts, b, turn)
        counted += weight
        for k in range(exits):
            shares[k, chosen[k]] += weight
        weight /= RECENT
        cost, over = policy_value(problem, levels, never, chosen)
        if cost / network < min(found, target) and keeps(over):
            found = float(cost / network)
            best[:] = chosen
        if value > bound:
            bound, bound_price, since = value, price, 0
            kept[:] = multipliers
            if bound >= target:
                break
        else:
            since += 1
            if since >= PATIENCE:
                pace *= SHORTENED
                since = 0
                if pace < SHORTEST:
                    break
        price_direction = MEMORY * price_direction + PRICE_SCALE * (loss - linear.limit)
        if price <= 0 and price_direction < 0:
            price_direction = 0.0  # the price stays where it is
        whole = price_direction**2
        for b in range(len(direction)):
            for s in range(n):
                direction[b, s] = MEMORY * direction[b, s] + turn[b, s]
                whole += direction[b, s] ** 2
        if whole < 1e-200:
            break
        step = pace * max(target - value, 1e-9) / whole
        for b in range(len(direction)):
            for s in range(n):
                multipliers[b, s] += step * direction[b, s]
        price = max(0.0, price + step * PRICE_SCALE * price_direction)
    multipliers[:] = kept
    return Grown(bound, bound_price, found, shares / max(counted, 1.0))


@compiled
def at_stake(linear: Linear, levels: NDArray[np.int32], shares: Floats, price: float) -> Floats:
    """How much hangs on each exit's threshold, float64 [K]: over the samples that come to the exit, the variance of
    whether it stops them times what they come to if it does and if it does not. shares [K, T + 1]: of the thresholds.
    """
    exits, n = levels.shape
    never = shares.shape[1] - 1
    stops, matters = np.empty((exits, n)), np.empty((exits, n))
    value = priced(linear, price)
    ahead = value[exits]
    for k in range(exits - 1, -1, -1):
        below = np.zeros(never + 1)
        for i in range(never):
            below[i + 1] = below[i] + shares[k, i]
        for s in range(n):
            part = below[levels[k, s]]
            stops[k, s] = part
            matters[k, s] = part * (1 - part) * abs(value[k, s] - ahead[s])
            ahead[s] = part * value[k, s] + (1 - part) * ahead[s] + linear.share[s] * linear.head[k] * below[never]
    found, reach = np.zeros(exits), np.ones(n)
    for k in range(exits):
        for s in range(n):
            found[k] += reach[s] * matters[k, s]
            reach[s] *= 1 - stops[k, s]
    return found


@compiled
def _disagree(linear: Linear, block: Block, chosen: Ints, cuts: Ints, b: int, turn: Floats) -> float:
    """Put into `turn` [B - 1, n] which samples block b takes over, and which it hands on; returns the regret of those
    that stop in it.
    """
    size, n = block.levels.shape
    last = b == len(cuts) - 2
    loss = 0.0
    for s in range(n):
        heads, at = _stop(block.head, block.levels, block.never, chosen, s)
        if block.share[s] * heads + block.own[at, s] >= block.cap:
            continue
        if b > 0:
            turn[b - 1, s] -= 1.0
        if at < size or last:
            loss += linear.regret[cuts[b] + at, s]
        else:
            turn[b, s] += 1.0
    return loss


@compiled
def tighten(
    linear: Linear,
    levels: NDArray[np.int32],
    never: int,
    low: Ints,
    high: Ints,
    cuts: Ints,
    multipliers: Floats,
    price: float,
    target: float,
) -> float:
    """Move the ends of the box, `low` and `high` [K], inwards past indices with a bound of at least `target`; returns
    the bound of the box.
    """
    exits = len(linear.head)
    stop = priced(linear, price)
    chosen, least, values = np.zeros(exits, np.int64), np.empty((exits, never + 1)), np.zeros(len(cuts) - 1)
    for b in range(len(values)):
        block = block_of(linear, stop, levels, never, low, high, cuts, multipliers, b)
        values[b] = least_of_block(block, chosen[cuts[b] : cuts[b + 1]], least[cuts[b] : cuts[b + 1]])
    bound = values.sum() - price * linear.limit
    for b in range(len(values)):
        for k in range(cuts[b], cuts[b + 1]):
            while low[k] < high[k] and bound - values[b] + least[k, low[k]] >= target:
                low[k] += 1
            while low[k] < high[k] and bound - values[b] + least[k, high[k]] >= target:
                high[k] -= 1
    return bound
