"""Tests and bounds of a mean loss that hold for every number of samples, whatever the distribution.

What is tested is the hypothesis that the mean loss of the population is `mean` or more. A p-value is at most `a` with
probability at most `a` where that is so; an upper bound at `level` lies below the mean with at most that probability.
"""

from __future__ import annotations

import functools
import importlib
import math
from typing import Any

import numpy as np

from eennc.policy.table import Floats

NUISANCE = 0.01
"""Share of the level that the confidence interval of the disagreement rate takes."""
CELLS, MOST_CELLS = 8, 1024
"""Stretches of the disagreement rate: at first, and where the p-value is taken as it is."""
LOOSE = 1.03
"""How much larger than the p-value the bound on it may be."""
TRUNCATED = 1e-13
"""Probability on either side that is counted as extreme and not summed."""
NEGLIGIBLE = 1e-16
"""Probability of a number of worse samples that is counted as extreme whole."""
RESOLUTION = 1e-5
"""Of bounds by betting."""
FINE = 0.02
"""The resolution of exact bounds, in standard errors."""
BETS = np.concatenate([[1.0], 2.0 ** -np.arange(0.5, 10, 0.5)])
"""Shares of the largest bet that betting tests mix; half of the wealth is on the first, the best one where next to
nothing is lost."""


@functools.lru_cache(4096)
def paired_p_value(worse: int, better: int, samples: int, mean: float, level: float) -> float:
    """The exact p-value of a paired comparison: `worse` samples lost 1, `better` gained 1, the others neither. It may
    be an upper bound on it where that decides the test at `level`, for which the test is built.

    Outcomes are ordered by worse - better + z sqrt(worse + better + z^2 / 4), z the normal quantile of 1 - level: the
    score bound of a Poisson mean, for a difference of two. The p-value is the largest probability of an outcome no
    higher in that order, over all populations with a mean of at least `mean` and a disagreement rate
    q = P(worse) + P(better) in its Clopper-Pearson interval at NUISANCE * level, plus that (Berger and Boos, JASA
    1994). The order does not depend on `mean`, so the p-value falls with it, and inverting it gives Buehler's (JASA
    1957) upper bound.

    The order rises with `worse` and falls with `better`, as sqrt(x + 1) - sqrt(x) <= 1 / z for x >= z^2 / 4. So the
    largest probability lies where the mean is just `mean`, and over a stretch of q it is at most that with P(worse)
    from its lower and P(better) from its upper end (Barnard's convexity). Stretches are halved until that is near
    enough.
    """
    special: Any = importlib.import_module("scipy.special")  # slow to import, and without types
    z = float(special.ndtri(1 - level))
    spent = NUISANCE * level
    apart = worse + better
    lowest = float(special.betaincinv(apart, samples - apart + 1, spent / 2)) if apart else 0.0
    highest = float(special.betaincinv(apart + 1, samples - apart, 1 - spent / 2)) if apart < samples else 1.0
    lowest = max(lowest, abs(mean))
    if highest < lowest:
        return spent
    order = worse - better + z * math.sqrt(apart + z * z / 4)

    def within(plus: Floats, minus: Floats) -> Floats:
        return _probability(special, samples, plus, minus, order, z)

    ends = np.linspace(lowest, highest, CELLS + 1)
    low, high = ends[:-1], ends[1:]
    reached, settled = 0.0, 0.0
    while True:
        middle = (low + high) / 2
        reached = max(reached, float(within((middle + mean) / 2, (middle - mean) / 2).max()))
        bounds = within((low + mean) / 2, (high - mean) / 2)
        near = bounds <= reached * LOOSE
        settled = max(settled, float(bounds[near].max(initial=0.0)))
        found = max(settled, float(bounds[~near].max(initial=0.0)))
        if near.all() or found + spent <= level or reached + spent > level or len(low) > MOST_CELLS:
            return min(1.0, found + spent)
        low, high, middle = low[~near], high[~near], middle[~near]
        low, high = np.concatenate([low, middle]), np.concatenate([middle, high])


def _probability(special: Any, samples: int, plus: Floats, minus: Floats, order: float, z: float) -> Floats:
    """P(worse - better + z sqrt(worse + better + z^2 / 4) <= order) with P(worse) = plus, P(better) = minus, per entry.

    `better` is binomial once `worse` is known, and extreme from some number on.
    """
    spread = 8 * math.sqrt(samples * float(plus.max())) + 40  # Bernstein: less than TRUNCATED lies outside
    first = max(0, math.floor(samples * float(plus.min()) - spread))
    last = min(samples, math.ceil(samples * float(plus.max()) + spread))
    worse = np.arange(first, last + 1, dtype=np.float64)
    log_choose = special.gammaln(samples + 1) - special.gammaln(worse + 1) - special.gammaln(samples - worse + 1)
    share = plus[:, None]
    mass = np.exp(log_choose + special.xlogy(worse, share) + special.xlog1py(samples - worse, -share))
    # better >= y^2 - worse - z^2 / 4, with y the larger root of y^2 - z y = 2 worse + z^2 / 4 - order
    inside = z * z + 4 * (2 * worse + z * z / 4 - order)
    root = (z + np.sqrt(np.maximum(inside, 0))) / 2
    least = np.where(inside > 0, np.ceil(root * root - worse - z * z / 4 - 1e-7), 0)
    others = samples - worse
    chance = np.minimum(minus[:, None] / np.maximum(1 - share, 1e-300), 1.0)
    tail = np.broadcast_to(least <= others, mass.shape).astype(np.float64)
    row, column = np.nonzero((least > 0) & (least <= others) & (mass > NEGLIGIBLE))
    tail[row, column] = special.betainc(least[column], others[column] - least[column] + 1, chance[row, 0])
    return np.minimum((mass * tail).sum(axis=1) + 2 * TRUNCATED, 1.0)


@functools.lru_cache(4096)
def paired_upper(worse: int, better: int, samples: int, level: float) -> float:
    """The upper bound on the mean loss that `paired_p_value` gives, rounded up."""
    low, high = (worse - better) / samples, 1.0
    error = math.sqrt(worse + better + 1) / samples
    step = 2 * error
    while low + step < high:
        if paired_p_value(worse, better, samples, low + step, level) <= level:
            high = low + step
        else:
            low, step = low + step, 2 * step
    while high - low > FINE * error:
        middle = (low + high) / 2
        if paired_p_value(worse, better, samples, middle, level) <= level:
            high = middle
        else:
            low = middle
    return high


def binomial_upper(lost: int, samples: int, level: float) -> float:
    """The upper bound of Clopper and Pearson (Biometrika 1934) on the share of a population that is lost."""
    special: Any = importlib.import_module("scipy.special")
    return float(special.betaincinv(lost + 1, samples - lost, 1 - level)) if lost < samples else 1.0


def betting_p_value(losses: Floats, mean: float, weights: Floats, times: Floats) -> float:
    """The p-value of independent losses in [-1, 1] with weights in [0, 1], both float64 [n], each seen `times` [n] > 0:
    tested is that the mean of weight * (loss - mean) is 0 or more; for weights of 1, that the mean loss is `mean`.

    The wealth of a gambler who bets the share c of the most that cannot be lost against each, product of
    1 + c weight (mean - loss) / (1 - mean), has expectation 1 or less; so has the mean over several c, and by Markov's
    inequality one over it is a p-value (Waudby-Smith and Ramdas, arXiv 2010.09686, a mixture over constant bets). It
    does not depend on the order of the losses, and falls as `mean` rises.
    """
    rate = weights * (mean - losses) / (1 - mean)
    with np.errstate(divide="ignore"):
        wealth = np.log1p(np.maximum(BETS[:, None] * rate, -1.0)) @ times
    prior = np.full(len(BETS), 0.5 / (len(BETS) - 1))
    prior[0] = 0.5
    top = float(wealth.max())
    if top == -math.inf:
        return 1.0
    return min(1.0, math.exp(-top) / float(prior @ np.exp(wealth - top)))


def betting_upper(losses: Floats, weights: Floats, times: Floats, level: float) -> float:
    """The upper bound on the mean loss that `betting_p_value` gives, to RESOLUTION, rounded up."""
    low, high = -1.0, 1.0
    while high - low > RESOLUTION:
        middle = (low + high) / 2
        if betting_p_value(losses, middle, weights, times) <= level:
            high = middle
        else:
            low = middle
    return high


def as_integers(values: Floats, times: Floats) -> tuple[int, int, int]:
    """How often losses of 1 and of -1 were seen, and all; where `times` are no whole numbers, on the safe side."""
    worse, better = math.ceil(times[values > 0].sum()), math.floor(times[values < 0].sum())
    return worse, better, max(math.floor(times.sum()), worse + better)
