"""The least that a stretch of neighbouring exits can come to, by enumeration of its thresholds.

All indices but the last three exits' are enumerated one by one. Of the last three, as the first one's threshold rises,
the samples that it no longer stops are added to tables over the indices of the other two.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eennc.policy.compiled import compiled
from eennc.policy.table import Floats, Ints


class Block(NamedTuple):
    """Neighbouring exits [k], and what they come to for each of n samples.

    own: float64 [k + 1, n], of stopping at each exit, without heads; in the last row of passing them all. A sample that
    comes to more than `cap` comes to `cap`. share: float64 [n], what each unit of heads counts. head: float64 [k].
    levels: int32 [k, n]. An exit with index i stops a sample whose level is above i; `never` takes it out. low, high:
    int64 [k], the indices that are allowed.
    """

    own: Floats
    cap: float
    share: Floats
    head: Floats
    levels: NDArray[np.int32]
    never: int
    low: Ints
    high: Ints


class _Tables(NamedTuple):
    """Sums over samples that come to the last two exits, a and b.

    both [T + 1, T + 2]: in each row of those that this index of a is the first to pass, what they come to at each index
    of b, at last with b out. stopped [T + 1]: what the same come to if a stops them. plain [T + 2]: of all, with a out,
    at each index of b, as differences. single [2]: of all, if a stops them, and with both out.
    """

    both: Floats
    stopped: Floats
    plain: Floats
    single: Floats


@compiled
def least_of_block(block: Block, chosen: Ints, least: Floats) -> float:
    """The least that the block comes to, with the indices that are put into `chosen` [k]. `least` [k, T + 1]: where it
    is not empty, becomes the same for each index of each exit, inf for those not allowed.
    """
    size, n = block.levels.shape
    depth = max(size - 3, 0)
    recording = len(least) > 0
    least[:] = np.inf
    alive, count = np.empty((depth + 1, n), np.int32), np.zeros(depth + 1, np.int64)
    base, heads = np.zeros(depth + 1), np.zeros(depth + 1)
    least_own = block.own[0].copy()
    for k in range(1, size + 1):
        for s in range(n):
            least_own[s] = min(least_own[s], block.own[k, s])
    for s in range(n):
        # the others come to the cap whatever the indices
        if least_own[s] < block.cap:
            alive[0, count[0]] = s
            count[0] += 1
    base[0] = 0.0 if np.isinf(block.cap) else block.cap * (n - count[0])
    index = block.low - 1
    tables = _Tables(
        np.zeros((block.never + 1, block.never + 2)),
        np.zeros(block.never + 1),
        np.zeros(block.never + 2),
        np.zeros(2),
    )
    best = np.inf
    at = np.zeros(3, np.int64)
    d = 0
    while d >= 0:
        if d == depth:
            here = _last_three(block, alive[d, : count[d]], base[d], heads[d], tables, at, least, best)
            if recording:
                for k in range(depth):
                    least[k, index[k]] = min(least[k, index[k]], here)
            if here < best:
                best = here
                chosen[:depth] = index[:depth]
                for k in range(min(size, 3)):
                    chosen[size - 1 - k] = at[2 - k]
            d -= 1
            continue
        index[d] += 1
        i = index[d]
        if i > block.high[d]:
            index[d] = block.low[d] - 1
            d -= 1
            continue
        total, m = base[d], 0
        pays = heads[d] + (block.head[d] if i < block.never else 0.0)
        for s in alive[d, : count[d]]:
            if block.levels[d, s] > i:
                total += min(block.cap, block.share[s] * pays + block.own[d, s])
            else:
                alive[d + 1, m] = s
                m += 1
        d += 1
        count[d], base[d], heads[d] = m, total, pays
    return best


@compiled
def _last_three(
    block: Block,
    alive: NDArray[np.int32],
    base: float,
    heads: float,
    tables: _Tables,
    at: Ints,
    least: Floats,
    target: float,
) -> float:
    """The least over the last three exits' indices, which are put into `at` [3], for the samples `alive` that have come
    by `heads`; `at` is right where it is below `target`. A smaller block has the last of the three alone.
    """
    size, c = len(block.head), len(block.head) - 3
    best = np.inf
    recording = len(least) > 0
    if size < 3 or block.high[c] == block.never:
        _clear(tables)
        _add(block, alive, heads, tables)
        best = _last_two(block, tables, base, at, least, target)
        at[0] = block.never
        if recording and size >= 3:
            least[c, block.never] = min(least[c, block.never], best)
    if size < 3 or block.low[c] == block.never:
        return best
    low, width = block.low[c], min(block.high[c], block.never - 1) - block.low[c] + 1
    own, levels, pays = block.own[c], block.levels[c], heads + block.head[c]
    # by level: those that index low + i is the first to pass lie in [starts[i], starts[i + 1])
    starts, ordered = np.zeros(width + 2, np.int64), np.empty_like(alive)
    for s in alive:
        starts[min(max(levels[s] - low, 0), width) + 1] += 1
    for i in range(width + 1):
        starts[i + 1] += starts[i]
    places = starts.copy()
    stopped = base
    for s in alive:
        level = min(max(levels[s] - low, 0), width)
        ordered[places[level]] = s
        places[level] += 1
        if level > 0:
            stopped += min(block.cap, block.share[s] * pays + own[s])
    _clear(tables)
    two = np.zeros(3, np.int64)
    for i in range(width):
        samples = ordered[starts[i] : starts[i + 1]]
        if i > 0:
            for s in samples:
                stopped -= min(block.cap, block.share[s] * pays + own[s])
        _add(block, samples, pays, tables)
        here = _last_two(block, tables, stopped, two, least, min(target, best))
        if recording:
            least[c, low + i] = min(least[c, low + i], here)
        if here < best:
            best = here
            at[0], at[1], at[2] = low + i, two[1], two[2]
    return best


@compiled
def _clear(tables: _Tables) -> None:
    tables.both[:] = 0.0
    tables.stopped[:] = 0.0
    tables.plain[:] = 0.0
    tables.single[:] = 0.0


@compiled
def _add(block: Block, samples: NDArray[np.int32], heads: float, tables: _Tables) -> None:
    """Add samples that have come by `heads`."""
    cap, share, never, size = block.cap, block.share, block.never, len(block.head)
    b = size - 1
    # a block of one exit has no a
    a = max(size - 2, 0)
    own_a, own_b, own_on = block.own[a], block.own[b], block.own[size]
    levels_a, levels_b, low_a, low_b = block.levels[a], block.levels[b], block.low[a], block.low[b]
    columns = max(min(block.high[b], never - 1) - low_b + 1, 0)
    rows = 0 if size == 1 else max(min(block.high[a], never - 1) - low_a + 1, 0)
    without_a = size == 1 or block.high[a] == never
    pays_a, pays_b = heads + block.head[a], heads + block.head[b]
    pays_both = pays_a + block.head[b]
    both, plain = tables.both, tables.plain
    stopped, passed_all = 0.0, 0.0
    for s in samples:
        part, on = share[s], own_on[s]
        column = min(max(levels_b[s] - low_b, 0), columns)
        if rows > 0:
            row = max(levels_a[s] - low_a, 0)
            fires = min(cap, part * pays_a + own_a[s])
            stopped += fires
            if row < rows:
                fires_b = min(cap, part * pays_both + own_b[s])
                tables.stopped[row] += fires
                passes = min(cap, part * pays_both + on)
                line = both[row]
                for c in range(columns):
                    line[c] += fires_b if c < column else passes
                line[columns] += min(cap, part * pays_a + on)
        if without_a:
            fires_b = min(cap, part * pays_b + own_b[s])
            passed_all += min(cap, part * heads + on)
            plain[0] += fires_b
            plain[column] += min(cap, part * pays_b + on) - fires_b
    tables.single[0] += stopped
    tables.single[1] += passed_all


@compiled
def _last_two(block: Block, tables: _Tables, base: float, at: Ints, least: Floats, target: float) -> float:
    """The least over the last two exits' indices; where it is below `target`, they are put into `at` [3] behind the
    first.
    """
    never, size = block.never, len(block.head)
    b = size - 1
    a = max(size - 2, 0)
    low_a, low_b = block.low[a], block.low[b]
    columns = max(min(block.high[b], never - 1) - low_b + 1, 0)
    rows = 0 if size == 1 else max(min(block.high[a], never - 1) - low_a + 1, 0)
    without_b = block.high[b] == never
    many = columns + 1 if without_b else columns
    recording = len(least) > 0
    # the sums at each index of b, and the least of them up to a row
    sums, lowest = np.zeros(many), np.full(many, np.inf)
    stopped = base + tables.single[0]
    for row in range(rows):
        stopped -= tables.stopped[row]
        line = tables.both[row]
        for c in range(many):
            sums[c] += line[c]
            here = sums[c] + stopped
            lowest[c] = here if here < lowest[c] else lowest[c]
        if recording:
            least[a, low_a + row] = min(least[a, low_a + row], (sums + stopped).min())
    best, column = np.inf, 0
    for c in range(many):
        if recording:
            index = low_b + c if c < columns else never
            least[b, index] = min(least[b, index], lowest[c])
        if lowest[c] < best:
            best, column = lowest[c], c
    if best < target:
        at[2] = low_b + column if column < columns else never
        total = base + tables.single[0]
        passed = 0.0
        for row in range(rows):
            total -= tables.stopped[row]
            passed += tables.both[row, column]
            if total + passed <= best:
                at[1] = low_a + row
                break
    if size == 1 or block.high[a] == never:
        total, least_out = base, np.inf
        for c in range(many):
            if c < columns:
                total += tables.plain[c]
            here = total if c < columns else base + tables.single[1]
            index = low_b + c if c < columns else never
            least_out = min(least_out, here)
            if recording:
                least[b, index] = min(least[b, index], here)
            if here < best:
                best, at[1], at[2] = here, never, index
        if recording and size > 1:
            least[a, never] = min(least[a, never], least_out)
    return best
