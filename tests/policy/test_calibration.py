import numpy as np
import pytest
from score_tables import made_table

from eennc.policy.calibration import expected_calibration_error, temperature, temperatures
from eennc.policy.table import ScoreTable


def nll(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray, t: float) -> float:
    z = scores.astype(np.float64) / t
    return float(weights @ (np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(labels)), labels]))


@pytest.mark.parametrize("weighted", [False, True])
def test_temperature_is_that_of_a_grid_search(weighted: bool) -> None:
    table = made_table(3, 800, seed=2, weighted=weighted)
    grid = np.geomspace(0.2, 5, 2000)
    for k, found in enumerate(temperatures(table)):
        losses = [nll(table.scores[k], table.labels, table.sample_weights, t) for t in grid]
        assert found == pytest.approx(grid[np.argmin(losses)], rel=3e-3)


def test_probabilities_get_the_temperature_of_their_logits() -> None:
    logits, probabilities = made_table(3, 800), made_table(3, 800, probabilities=True)
    assert temperatures(probabilities) == pytest.approx(temperatures(logits), rel=1e-3)


def test_scaled_scores_get_a_scaled_temperature() -> None:
    table = made_table(1, 800)
    once = temperature(table.scores[0], table.labels, table.sample_weights)
    twice = temperature(2 * table.scores[0], table.labels, table.sample_weights)
    assert twice == pytest.approx(2 * once, rel=1e-3)


def test_the_temperature_that_scores_were_made_with() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(20_000, 5))
    noise = random.gumbel(size=logits.shape)
    labels = (logits + noise).argmax(axis=1)  # drawn from softmax(logits)
    scores = np.stack([3 * logits, logits]).astype(np.float32)
    table = ScoreTable("calibration", scores, labels)
    (found,) = temperatures(table)
    assert found == pytest.approx(3, rel=0.05)
    errors = [
        expected_calibration_error(table.confidences((t,))[0], table.correct[0], table.sample_weights)
        for t in (1.0, found)
    ]
    assert errors[0] > 0.2
    assert errors[1] < 0.02


def test_calibration_error_of_bins_by_hand() -> None:
    confidence = np.array([0.5, 0.5, 1.0, 1.0], np.float32)
    correct = np.array([True, False, True, False])
    assert expected_calibration_error(confidence, correct, np.full(4, 0.25)) == pytest.approx(0.25)
    assert expected_calibration_error(confidence, correct, np.array([0.5, 0.5, 0, 0])) == 0


def test_a_perfect_head_and_a_single_sample_have_finite_temperatures() -> None:
    scores = np.eye(3, dtype=np.float32)
    assert 0 < temperature(scores, np.arange(3), np.full(3, 1 / 3)) < 1
    assert 1 < temperature(scores, (np.arange(3) + 1) % 3, np.full(3, 1 / 3)) < np.inf
