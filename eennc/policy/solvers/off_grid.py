"""A lower bound on what any thresholds cost, those between a grid's among them, from a relaxation's multipliers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eennc.policy.compiled import compiled
from eennc.policy.solvers.relaxation import FIRES, FORBIDDEN, OUT, PASSES, Linear, Singles, sum_up
from eennc.policy.table import Floats


@compiled
def bound_of_any(
    linear: Linear,
    levels: NDArray[np.int32],
    never: int,
    multipliers: Singles,
    price: float,
) -> float:
    """A lower bound on what any thresholds cost that keep the linear limit, whether on the grid or not.

    levels: those on a grid that may be finer. A threshold above its value i - 1, up to i, fires for levels above i, not
    for those below, and for those of level i either way, as suits the bound.
    """
    exits, n = levels.shape
    going, rest = np.empty((3, n)), np.zeros((3, n))
    going[:] = linear.share * linear.backbone[exits] + price * linear.regret[exits]
    for k in range(exits - 1, -1, -1):
        going_on, rest_on = going.copy(), rest.copy()
        for s in range(n):
            share = linear.share[s]
            stop = share * (linear.backbone[k] + linear.head[k]) + linear.worth[k, s] + price * linear.regret[k, s]
            for before in range(3):
                gone, on = FORBIDDEN, FORBIDDEN
                for o in range(3):
                    m = multipliers[k - 1, 3 * before + o, s] if k > 0 else 0.0
                    gone = min(gone, rest_on[o, s] - m)
                    step = stop + rest_on[o, s] if o == FIRES else going_on[o, s]
                    on = min(on, step + (share * linear.head[k] if o == PASSES else 0.0) - m)
                going[before, s], rest[before, s] = on, gone
    total = going[0].sum() - price * linear.limit
    value = np.zeros(never + 2)
    for k in range(1, exits):
        m = multipliers[k - 1]
        table = np.zeros((never + 2, never + 2))
        for s in range(n):
            _mark_cells(table, levels[k - 1, s], levels[k, s], m[:, s])
        sum_up(table)
        new = np.full(never + 2, FORBIDDEN)
        for i in range(never + 2):
            for j in range(never + 2):
                total_here = value[i] + table[i, j]
                new[j] = total_here if total_here < new[j] else new[j]
        value = new
    return total + value.min()


@compiled
def _mark_cells(table: Floats, a: int, b: int, m: Singles) -> None:
    """Add a sample's least multiplier where the thresholds lie in the cells of a row and a column: an exit fires for
    cells below the sample's level, either fires or passes for that of its level, passes above, and is out in the last.
    """
    out = len(table) - 1
    ends = np.array([[0, a, a + 1, out, out + 1], [0, b, b + 1, out, out + 1]])
    # the outcomes that are possible in each of the four stretches: [first, last]
    first, last = np.array([FIRES, FIRES, PASSES, OUT]), np.array([FIRES, PASSES, PASSES, OUT])
    for x in range(4):
        for y in range(4):
            least = np.inf
            for o in range(first[x], last[x] + 1):
                for q in range(first[y], last[y] + 1):
                    least = min(least, m[3 * o + q])
            for i, sign in ((ends[0, x], 1.0), (ends[0, x + 1], -1.0)):
                for j, other in ((ends[1, y], 1.0), (ends[1, y + 1], -1.0)):
                    if i <= out and j <= out:
                        table[i, j] += sign * other * least
