"""A lower bound on what any thresholds cost, those between a grid's among them.

On a grid of cells, an exit whose threshold lies in cell i stops the samples of higher levels, passes those of lower
ones, and does with those of level i either, each as suits the bound. Blocks have three exits at most.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eennc.policy.compiled import compiled
from eennc.policy.solvers.blocks import Block
from eennc.policy.solvers.decomposition import Linear, block_of, priced
from eennc.policy.table import Floats, Ints

LARGEST = 3
"""Exits of a block."""


@compiled
def bound_of_any(
    linear: Linear, levels: NDArray[np.int32], never: int, cuts: Ints, multipliers: Floats, price: float
) -> float:
    """A lower bound on what any thresholds cost that keep the linear limit, whether on the grid or not.

    levels: those on a grid that may be finer than the one the multipliers are of. A block has at most LARGEST exits.
    """
    stop = priced(linear, price)
    low, high = np.zeros(len(linear.head), np.int64), np.full(len(linear.head), never)
    total = -price * linear.limit
    for b in range(len(cuts) - 1):
        total += _least(block_of(linear, stop, levels, never, low, high, cuts, multipliers, b))
    return total


@compiled
def _least(block: Block) -> float:
    """The least that a block comes to, whatever its thresholds."""
    size, n = block.levels.shape
    cells = block.never + 1
    both, stopped, plain = np.zeros((cells + 1, cells + 1)), np.zeros(cells + 1), np.zeros(cells + 1)
    for s in range(n):
        _add(block, s, block.cap, 0.0, 1.0, both, stopped, plain)
    best = _least_of_two(both, stopped, plain, 0.0, size)
    if size < LARGEST:
        return best
    both[:], stopped[:], plain[:] = 0.0, 0.0, 0.0
    pays, levels = block.head[0], block.levels[0]
    fires = np.minimum(block.cap, block.share * pays + block.own[0])
    order = np.argsort(levels)
    starts = np.searchsorted(levels[order], np.arange(cells + 1))
    base = fires.sum()
    for i in range(cells):
        either = order[starts[i] : starts[i + 1]]
        for s in either:
            base -= fires[s]
            _add(block, s, fires[s], pays, 1.0, both, stopped, plain)
        best = min(best, _least_of_two(both, stopped, plain, base, size))
        for s in either:
            _add(block, s, fires[s], pays, -1.0, both, stopped, plain)
            _add(block, s, block.cap, pays, 1.0, both, stopped, plain)
    return best


@compiled
def _add(
    block: Block, s: int, cap: float, heads: float, sign: float, both: Floats, stopped: Floats, plain: Floats
) -> None:
    """Add a sample that has come by `heads` and comes to `cap` at most to what the last two exits, a and b, come to.

    both, stopped: with a in, as differences along its cell, per cell of b and at last with b out; and less what those
    come to that a stops no longer. plain: with a out.
    """
    size, cells = len(block.head), block.never + 1
    part, on = block.share[s], block.own[size, s]
    level = block.levels[size - 1, s]
    pays_b = heads + block.head[size - 1]
    fires, passes = min(cap, part * pays_b + block.own[size - 1, s]), min(cap, part * pays_b + on)
    for c in range(cells):
        plain[c] += sign * (fires if c < level else (passes if c > level else min(fires, passes)))
    plain[cells] += sign * min(cap, part * heads + on)
    if size == 1:
        return
    a = size - 2
    pays_a = heads + block.head[a]
    fires_a = min(cap, part * pays_a + block.own[a, s])
    pays_b = pays_a + block.head[size - 1]
    fires, passes = min(cap, part * pays_b + block.own[size - 1, s]), min(cap, part * pays_b + on)
    stopped[block.levels[a, s]] += sign * fires_a
    stopped[cells] += sign * fires_a
    here, behind = both[block.levels[a, s]], both[block.levels[a, s] + 1]
    for c in range(cells):
        value = fires if c < level else (passes if c > level else min(fires, passes))
        either = min(fires_a, value)
        here[c] += sign * either
        behind[c] += sign * (value - either)
    value = min(cap, part * pays_a + on)
    here[cells] += sign * min(fires_a, value)
    behind[cells] += sign * (value - min(fires_a, value))


@compiled
def _least_of_two(both: Floats, stopped: Floats, plain: Floats, base: float, size: int) -> float:
    """The least over the cells of the last two exits, or with either out."""
    best = base + plain.min()
    if size == 1:
        return best
    cells = len(plain) - 1
    sums, lowest = np.zeros(cells + 1), np.full(cells + 1, np.inf)
    total = base + stopped[cells]
    for row in range(cells):
        total -= stopped[row]
        line = both[row]
        for c in range(cells + 1):
            sums[c] += line[c]
            here = sums[c] + total
            lowest[c] = here if here < lowest[c] else lowest[c]
    return min(best, lowest.min())
