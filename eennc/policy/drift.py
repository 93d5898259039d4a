"""Whether exits answer in the field as often as they did on the calibration samples."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from eennc.policy.evaluate import evaluate
from eennc.policy.table import Floats, Ints, Policy, Tables

LEVEL = 0.01
"""How often counts that fit are called drift."""
LEAST_EXPECTED = 5.0
"""Where an expected count is below this, the statistic's distribution is drawn instead of taken from chi-square."""
DRAWS = 9_999
"""Tables that are drawn; with the one that was found, 10,000."""
MOST_COLOURS = 10**9
"""numpy draws without replacement from fewer than this."""


@dataclass(frozen=True)
class Drift:
    """Counts of a build against those of its calibration, by the test of homogeneity.

    calibration, field: counts [K + 1] of the exits and the last classifier. statistic: Pearson's chi-square of the 2 x
    (K + 1) table. degrees: of freedom; exits at which nothing answered in either are left out. p_value: how often
    samples of one distribution differ so much. method: what the p-value is by. residuals: float64 [K + 1], how far the
    field's counts are from those expected if both were samples of one distribution, in standard errors.
    """

    calibration: tuple[int, ...]
    field: tuple[int, ...]
    statistic: float
    degrees: int
    p_value: float
    method: Literal["chi-square", "permutation"]
    level: float
    residuals: tuple[float, ...]

    @property
    def fits(self) -> bool:
        """Whether the field's counts may well be of the calibration's distribution."""
        return self.p_value >= self.level

    @property
    def most(self) -> int:
        """The exit whose counts differ most, in standard errors."""
        return int(np.abs(self.residuals).argmax())


def drift(calibration: Sequence[int], field: Sequence[int], *, level: float = LEVEL, seed: int = 0) -> Drift:
    """Pearson's chi-square test of homogeneity between two samples of counts [K + 1].

    Where an expected count is below 5 the p-value is that of a permutation test: `DRAWS` tables with the same sums are
    drawn from `seed`. Raises ValueError for counts of different lengths, negative counts, and a sample of none.
    """
    if len(calibration) != len(field):
        raise ValueError(f"samples of {len(calibration)} and {len(field)} counts")
    table = np.array([calibration, field], np.int64)
    if (table < 0).any() or (table.sum(axis=1) == 0).any():
        raise ValueError("both samples must have counts that are not negative and not all 0")
    seen = table.sum(axis=0) > 0
    found = table[:, seen]
    expected = _expected(found)
    statistic = _statistic(found)
    degrees = int(seen.sum()) - 1
    method: Literal["chi-square", "permutation"] = "chi-square"
    p_value = 1.0
    if degrees and expected.min() >= LEAST_EXPECTED:
        special: Any = importlib.import_module("scipy.special")  # slow to import, and without types
        p_value = float(special.gammaincc(degrees / 2, statistic / 2))
    elif degrees:
        method = "permutation"
        p_value = _permuted(found, statistic, seed)
    residuals = np.zeros(len(seen))
    if degrees:
        shares = found.sum(axis=1) / found.sum()
        spread = np.sqrt(expected[1] * (1 - shares[1]) * (1 - found.sum(axis=0) / found.sum()))
        residuals[seen] = (found[1] - expected[1]) / spread
    return Drift(
        calibration=tuple(int(n) for n in table[0]),
        field=tuple(int(n) for n in table[1]),
        statistic=statistic,
        degrees=degrees,
        p_value=p_value,
        method=method,
        level=level,
        residuals=tuple(float(r) for r in residuals),
    )


def _expected(table: Ints) -> Floats:
    """Counts of both samples if they were of one distribution."""
    return table.sum(axis=1, keepdims=True) * (table.sum(axis=0) / table.sum())


def _statistic(table: Ints) -> float:
    expected = _expected(table)
    return float(((table - expected) ** 2 / expected).sum())


def _permuted(table: Ints, statistic: float, seed: int) -> float:
    """The share of tables with the same sums whose statistic is at least this, the found one among them."""
    random = np.random.default_rng(seed)
    columns = table.sum(axis=0)
    # the smaller sample says all: the other is what it leaves
    smaller = int(table.sum(axis=1).min())
    if columns.sum() < MOST_COLOURS:
        drawn = random.multivariate_hypergeometric(columns, smaller, size=DRAWS, method="marginals")
    else:
        # a calibration split is so small a part of this that drawing with replacement is the same
        drawn = random.multinomial(smaller, columns / columns.sum(), size=DRAWS)
    total = int(columns.sum())
    expected = smaller * columns / total
    # the other sample's difference is the same, its expected counts are larger
    statistics = ((drawn - expected) ** 2 / expected).sum(axis=1) * total / (total - smaller)
    # equal tables are equal, whatever their sums were rounded to
    return float((1 + np.count_nonzero(statistics >= statistic * (1 - 1e-9))) / (1 + DRAWS))


def calibration_counts(
    tables: Tables, policy: Policy, points: Mapping[str, Sequence[float]]
) -> dict[str, tuple[int, ...]]:
    """How many calibration samples each exit that stayed, and the last classifier, answered [K + 1], by operating
    point: `points` has the thresholds of the exits that stayed. Every sample counts as one, whatever its weight.
    """
    kept = [int(k) for k in np.flatnonzero(policy.active)]
    among, own = tables.only(kept), policy.only(kept)
    found: dict[str, tuple[int, ...]] = {}
    for name, thresholds in points.items():
        at = dataclasses.replace(own, thresholds=tuple(thresholds))
        found[name] = counts_of(evaluate(among.calibration, among.costs, at).exit, len(kept))
    return found


def counts_of(exit: NDArray[np.int64], exits: int) -> tuple[int, ...]:
    """How many of the samples left at each exit, and at the last classifier [exits + 1], by where each did [n]."""
    return tuple(int(n) for n in np.bincount(exit, minlength=exits + 1))
