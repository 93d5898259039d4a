"""Tests and bounds against all outcomes of small samples, and against losses whose mean is known."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from eennc.policy.risk_tests import (
    NUISANCE,
    betting_p_value,
    betting_upper,
    binomial_upper,
    paired_p_value,
    paired_upper,
)


def outcomes(samples: int) -> list[tuple[int, int]]:
    return [(a, b) for a, b in itertools.product(range(samples + 1), repeat=2) if a + b <= samples]


def probabilities(samples: int, mean: float, apart: float) -> np.ndarray:
    """Of every outcome, where the mean loss is `mean` and a share `apart` of the population differs."""
    rates = np.array([(apart + mean) / 2, (apart - mean) / 2, 1 - apart]).clip(0)
    counts = [(a, b, samples - a - b) for a, b in outcomes(samples)]
    return stats.multinomial.pmf(counts, samples, rates / rates.sum())


@pytest.mark.parametrize(
    ("samples", "mean", "level"), [(20, 0.1, 0.1), (40, 0.05, 0.05), (30, 0.2, 0.3), (30, -0.1, 0.1)]
)
def test_a_population_at_the_limit_passes_with_the_probability_of_the_level_at_most(
    samples: int, mean: float, level: float
) -> None:
    passes = np.array([paired_p_value(a, b, samples, mean, level) <= level for a, b in outcomes(samples)])
    reached = [
        max(float(probabilities(samples, worse, apart) @ passes) for apart in np.linspace(abs(worse), 1, 60))
        for worse in (mean, mean + 0.05)
    ]
    assert 0.85 * level < reached[0] <= level
    assert reached[1] <= level


@pytest.mark.parametrize(("worse", "better", "mean"), [(0, 0, 0.08), (2, 1, 0.15), (3, 6, 0.05), (1, 0, 0.2)])
def test_p_values_are_the_largest_probability_over_populations(worse: int, better: int, mean: float) -> None:
    samples, level = 40, 0.1
    z, spent = stats.norm.isf(level), NUISANCE * level
    order = [a - b + z * math.sqrt(a + b + z * z / 4) for a, b in outcomes(samples)]
    seen = worse - better + z * math.sqrt(worse + better + z * z / 4)
    extreme = np.array(order) <= seen + 1e-9
    interval = stats.binomtest(worse + better, samples).proportion_ci(1 - spent)
    largest = max(
        float(probabilities(samples, mean, apart) @ extreme)
        for apart in np.linspace(max(interval.low, mean), interval.high, 150)
    )
    found = paired_p_value(worse, better, samples, mean, level)
    assert found >= largest + spent - 1e-9
    assert (found <= level) == (largest * 1.03 + spent <= level)


def test_without_any_loss_it_is_the_chance_of_that() -> None:
    for samples, mean in ((300, 0.01), (60, 0.05)):
        assert paired_p_value(0, 0, samples, mean, 0.05) == pytest.approx((1 - mean) ** samples + 0.0005, rel=0.03)
    assert paired_p_value(0, 0, 299, 0.01, 0.05) <= 0.0501
    assert paired_p_value(0, 0, 298, 0.01, 0.05) > 0.05


def test_p_values_fall_where_less_is_lost_and_the_limit_is_wider() -> None:
    for level in (0.05, 0.2):
        rows = [paired_p_value(worse, 10, 1500, 0.01, level) for worse in range(0, 40, 3)]
        assert all(a <= b * 1.03 + 1e-9 for a, b in itertools.pairwise(rows))
        rows = [paired_p_value(20, better, 1500, 0.01, level) for better in range(0, 40, 3)]
        assert all(b <= a * 1.03 + 1e-9 for a, b in itertools.pairwise(rows))
    assert paired_p_value(20, 10, 1500, 0.02, 0.05) < 0.05 < paired_p_value(20, 10, 1500, 0.008, 0.05)
    # the whole population may be worse; the sample says nothing of that
    assert paired_p_value(5, 0, 5, 0.9, 0.05) > 0.05


@pytest.mark.parametrize("level", [0.1, 0.02])
def test_upper_bounds_lie_below_the_mean_with_the_probability_of_the_level_at_most(level: float) -> None:
    samples = 16
    bounds = np.array([paired_upper(a, b, samples, level) for a, b in outcomes(samples)])
    assert all(
        bound > (a - b) / samples for bound, (a, b) in zip(bounds, outcomes(samples), strict=True) if a < samples
    )
    for mean in (-0.2, 0.0, 0.05, 0.2, 0.6):
        for apart in np.linspace(abs(mean), 1, 8):
            assert float(probabilities(samples, mean, float(apart)) @ (bounds < mean)) <= level


def test_the_binomial_bound_is_scipys() -> None:
    for lost, samples, level in ((0, 50, 0.05), (3, 50, 0.1), (50, 50, 0.05)):
        expected = stats.binomtest(lost, samples, alternative="less").proportion_ci(1 - level).high
        assert binomial_upper(lost, samples, level) == pytest.approx(expected)


def test_betting_on_losses_of_known_mean() -> None:
    """Losses and weights that go together; the weighted mean of loss - limit is 0, or below."""
    random = np.random.default_rng(0)
    limit, level, draws = 0.05, 0.1, 2000
    passed: dict[float, list[bool]] = {limit: [], 0.0: []}
    covered = 0
    for _ in range(draws):
        for mean, found in passed.items():
            heavy = random.random(150) < 0.3
            weights = np.where(heavy, 1.0, 0.4)
            # the heavy ones lose more: 0.3 * 1 * mean * 2 + 0.7 * 0.4 * rest = mean * (0.3 + 0.28)
            rest = mean * (0.58 - 0.6) / 0.28
            centre = np.where(heavy, 2 * mean, rest)
            losses = centre + 0.3 * random.choice([-1.0, 1.0], 150)
            found.append(betting_p_value(losses, limit, weights, np.ones(150)) <= level)
        alone = (random.random(60) < limit).astype(float)
        covered += betting_upper(alone, np.ones(60), np.ones(60), level) >= limit
    allowed = level + 2 * math.sqrt(level * (1 - level) / draws)
    assert np.mean(passed[limit]) <= allowed
    assert np.mean(passed[0.0]) > 0.2
    assert 1 - covered / draws <= allowed


def test_betting_counts_what_was_seen_several_times_and_minds_no_order() -> None:
    losses, times = np.array([0.0, 0.2, -0.1]), np.array([50.0, 3.0, 4.0])
    apart = np.random.default_rng(0).permutation(np.repeat(losses, times.astype(int)))
    together = betting_p_value(losses, 0.03, np.ones(3), times)
    assert betting_p_value(apart, 0.03, np.ones(57), np.ones(57)) == pytest.approx(together)
    assert betting_upper(losses, np.ones(3), times, together) == pytest.approx(0.03, abs=1e-4)
    # of all bets, those that lose everything are lost
    assert betting_p_value(np.array([1.0]), 0.03, np.ones(1), np.ones(1)) == 1
    assert betting_p_value(np.zeros(1), 0.03, np.ones(1), np.array([1000.0])) < 1e-12
