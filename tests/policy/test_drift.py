"""The test of homogeneity against scipy's, full enumeration, and simulation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from score_tables import made_costs, made_table

from eennc.policy.drift import LEAST_EXPECTED, calibration_counts, drift
from eennc.policy.evaluate import evaluate
from eennc.policy.table import Policy, Tables

SHARES = np.array([0.55, 0.2, 0.15, 0.1])


@given(
    st.integers(2, 6).flatmap(
        lambda k: st.tuples(*[st.lists(st.integers(30, 10_000), min_size=k, max_size=k) for _ in range(2)])
    )
)
def test_large_counts_are_those_of_scipy(counts: tuple[list[int], list[int]]) -> None:
    expected = stats.contingency.expected_freq(np.array(counts))
    found = drift(*counts)
    wanted = stats.chi2_contingency(np.array(counts), correction=False)
    assert found.statistic == pytest.approx(wanted.statistic, rel=1e-9, abs=1e-9)
    assert found.degrees == wanted.dof
    if expected.min() >= LEAST_EXPECTED:
        assert found.method == "chi-square"
        assert found.p_value == pytest.approx(wanted.pvalue, rel=1e-6, abs=1e-300)


def enumerated(table: np.ndarray) -> float:
    """The exact p-value: all tables with these sums, each by its hypergeometric probability."""
    columns, smaller = table.sum(axis=0), int(table.sum(axis=1).min())
    expected = stats.contingency.expected_freq(table)
    least = ((table - expected) ** 2 / expected).sum() * (1 - 1e-9)
    whole = math.comb(int(columns.sum()), smaller)
    row = int(table.sum(axis=1).argmin())
    total = 0
    for cells in itertools.product(*(range(int(c) + 1) for c in columns)):
        if sum(cells) == smaller:
            other = np.empty_like(table)
            other[row], other[1 - row] = cells, columns - np.array(cells)
            if ((other - expected) ** 2 / expected).sum() >= least:
                total += math.prod(math.comb(int(c), x) for c, x in zip(columns, cells, strict=True))
    return total / whole


@pytest.mark.parametrize(
    "counts", [([6, 2, 1], [1, 3, 4]), ([20, 1, 0], [3, 2, 1]), ([5, 0, 2, 1], [2, 3, 1, 1]), ([1, 0], [0, 1])]
)
def test_small_counts_are_those_of_full_enumeration(counts: tuple[list[int], list[int]]) -> None:
    found = drift(*counts)
    assert found.method == "permutation"
    exact = enumerated(np.array(counts))
    # 9,999 draws: five standard errors
    assert abs(found.p_value - exact) < 5 * math.sqrt(exact * (1 - exact) / 9_999) + 2e-4


@pytest.mark.parametrize(("calibration", "field"), [(1000, 2000), (300, 60), (60, 40_000), (40, 12)])
@pytest.mark.parametrize("level", [0.01, 0.1])
def test_false_alarms_are_as_rare_as_the_level_says(calibration: int, field: int, level: float) -> None:
    random = np.random.default_rng(1)
    runs = 300
    alarms = sum(
        not drift(random.multinomial(calibration, SHARES), random.multinomial(field, SHARES), level=level).fits
        for _ in range(runs)
    )
    # a right test passes this in all but one of 10,000 cases
    assert alarms <= stats.binom.ppf(1 - 1e-4, runs, level)


def test_shares_that_moved_are_found() -> None:
    random = np.random.default_rng(2)
    moved = np.array([0.45, 0.25, 0.17, 0.13])
    found = [drift(random.multinomial(1000, SHARES), random.multinomial(2000, moved)) for _ in range(100)]
    assert sum(not one.fits for one in found) >= 95
    assert sum(one.most == 0 for one in found) >= 80
    assert all(one.residuals[0] < 0 for one in found)
    few = [drift(random.multinomial(60, SHARES), random.multinomial(40, [0.05, 0.2, 0.15, 0.6])) for _ in range(50)]
    assert sum(not one.fits for one in few) >= 48


def test_residuals_are_those_of_a_two_by_two_table() -> None:
    """The squared residual of one column is the chi-square statistic of that column against the rest."""
    calibration, field = np.array([500, 300, 200]), np.array([180, 150, 70])
    found = drift(calibration, field)
    for k in range(3):
        table = np.array([[row[k], row.sum() - row[k]] for row in (calibration, field)])
        wanted = stats.chi2_contingency(table, correction=False).statistic
        assert found.residuals[k] ** 2 == pytest.approx(wanted)
    assert found.residuals[1] > 0 > found.residuals[0]


def test_exits_where_nothing_answered_are_left_out() -> None:
    found = drift([500, 0, 300], [200, 0, 90])
    assert (found.degrees, found.residuals[1]) == (1, 0.0)
    assert found.p_value == pytest.approx(drift([500, 300], [200, 90]).p_value)
    alone = drift([0, 10, 0], [0, 3, 0])
    assert (alone.p_value, alone.degrees, alone.fits) == (1.0, 0, True)


def test_an_exit_that_only_the_field_takes() -> None:
    assert not drift([1000, 500, 0], [400, 150, 60]).fits
    assert drift([1000, 500, 0], [400, 190, 1]).fits


def test_counts_beyond_a_billion() -> None:
    """A rare exit, so that the distribution is drawn, and the counts of years."""
    calibration = np.array([900, 99, 1])
    found = drift(calibration, [2_700_000_000, 300_000_000, 3_000_000])
    assert found.method == "permutation"
    assert found.fits
    assert not drift(calibration, [2_400_000_000, 600_000_000, 3_000_000]).fits


def test_the_same_counts_give_the_same_p_value() -> None:
    assert drift([20, 1], [3, 2]) == drift([20, 1], [3, 2])


@pytest.mark.parametrize("counts", [([1, 2], [0, 0]), ([0, 0], [1, 2]), ([1, -1], [1, 2]), ([1, 2], [1, 2, 3])])
def test_what_is_no_sample_is_refused(counts: tuple[list[int], list[int]]) -> None:
    with pytest.raises(ValueError, match=r"not negative|of 2 and 3 counts"):
        drift(*counts)


@pytest.mark.parametrize("by_class", [False, True])
def test_calibration_counts_are_of_the_exits_that_stay(by_class: bool) -> None:
    table = made_table(3, 300, 3, 4)
    rows = tuple((0.9 - 0.1 * k, 0.7, 0.8) for k in range(3)) if by_class else ()
    policy = Policy((math.inf, 0.6, 0.5), (1.0, 1.5, 2.0), class_thresholds=rows)
    found = calibration_counts(Tables(("a", "b", "c"), made_costs(3), table), policy, {"normal": (0.6, 0.5)})
    exits = np.bincount(evaluate(table, made_costs(3), policy).exit, minlength=4)
    assert exits[0] == 0
    assert exits[1:].min() > 0
    assert found == {"normal": tuple(exits[1:])}
