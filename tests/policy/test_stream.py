"""Streams: the compiled walk against plain Python, the search against all that the grid holds."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eennc.policy.statistics import SLACK, paired_loss
from eennc.policy.stream import evaluate_stream, solve_stream, stream_outcome
from eennc.policy.stream_table import StreamTable
from eennc.policy.table import Costs

INF = float("inf")


def oracle(confidences, predictions, thresholds, starts) -> tuple[list[int], list[int]]:
    exits, answers, last = [], [], None
    for i, begins in enumerate(starts):
        last = None if begins else last
        ready = [
            k
            for k, (row, limit) in enumerate(zip(confidences, thresholds, strict=True))
            if predictions[k][i] == last and row[i] >= limit and limit != INF
        ]
        exits.append(ready[0] if ready else len(thresholds))
        last = int(predictions[exits[-1]][i])
        answers.append(last)
    return exits, answers


def made(seed: int = 0, exits: int = 3, n: int = 400, sequences: int = 10, classes: int = 4) -> StreamTable:
    """Classes that last some samples; later exits are right more often and surer where they are."""
    random = np.random.default_rng(seed)
    labels = np.repeat(random.integers(0, classes, n // 5 + 1), 5)[:n]
    predictions = np.empty((exits + 1, n), np.int32)
    confidences = np.empty((exits, n), np.float32)
    for k in range(exits + 1):
        right = random.random(n) < 0.55 + 0.4 * (k + 1) / (exits + 1)
        predictions[k] = np.where(right, labels, random.integers(0, classes, n))
        if k < exits:
            confidences[k] = np.abs(random.normal(2 * right + 1, 1)).astype(np.float32)
    starts = np.arange(n) % (n // sequences) == 0
    return StreamTable(confidences, predictions, labels.astype(np.int64), starts)


def costs(exits: int = 3) -> Costs:
    return Costs(np.arange(1, exits + 2, dtype=np.int64) * 1000, np.full(exits, 30, np.int64))


@given(st.integers(0, 10_000), st.integers(0, 4), st.integers(1, 60))
def test_the_walk_is_that_of_plain_python(seed: int, exits: int, n: int) -> None:
    random = np.random.default_rng(seed)
    # few values, so that scores lie on thresholds
    confidences = random.integers(0, 4, (exits, n)).astype(np.float32)
    predictions = random.integers(0, 3, (exits + 1, n)).astype(np.int32)
    thresholds = random.choice([0, 1, 2, 3, INF], exits).astype(np.float32)
    starts = random.random(n) < 0.1
    found = evaluate_stream(confidences, predictions, thresholds, starts)
    wanted = oracle(confidences, predictions, thresholds, starts)
    assert [part.dtype for part in found] == [np.int32, np.int32]
    np.testing.assert_array_equal(found, wanted)


def test_an_infinite_score_passes_no_infinite_threshold() -> None:
    confidences = np.full((1, 3), INF, np.float32)
    predictions = np.zeros((2, 3), np.int32)
    starts = np.zeros(3, bool)
    for threshold, wanted in ((INF, [1, 1, 1]), (5.0, [1, 0, 0])):
        exits, _ = evaluate_stream(confidences, predictions, np.array([threshold], np.float32), starts)
        assert exits.tolist() == wanted


def test_shapes_that_do_not_fit() -> None:
    table = made()
    with pytest.raises(ValueError, match="do not go with"):
        evaluate_stream(table.confidences, table.predictions[:-1], np.zeros(3, np.float32), table.starts)
    with pytest.raises(ValueError, match="3 exits"):
        StreamTable(table.confidences, table.predictions, table.labels[1:], table.starts)
    with pytest.raises(ValueError, match="no samples"):
        StreamTable(np.zeros((1, 0), np.float32), np.zeros((2, 0), np.int32), np.zeros(0, np.int64), np.zeros(0, bool))


def macs_and_loss(table: StreamTable, thresholds, statistic: str) -> tuple[float, float]:
    """By the oracle."""
    exits, answers = oracle(table.confidences, table.predictions, thresholds, table.starts)
    base = np.arange(1, len(thresholds) + 2) * 1000
    heads = np.cumsum([30 * (limit != INF) for limit in thresholds])
    stopping = base + np.append(heads, heads[-1] if len(heads) else 0)
    weights = table.sample_weights
    right = np.array(answers) == table.labels
    loss = paired_loss(table.predictions[-1] == table.labels, right, weights, table.starts.cumsum())
    return float(weights @ stopping[exits]), loss.point if statistic == "point" else loss.upper95


def test_the_outcome_is_that_of_the_oracle() -> None:
    table = made(3)
    thresholds = np.array([2.5, INF, 1.0], np.float32)
    found = stream_outcome(table, costs(), thresholds)
    macs, loss = macs_and_loss(table, thresholds, "point")
    assert found.macs == pytest.approx(macs)
    assert found.loss.point == pytest.approx(loss)
    assert found.loss.point == pytest.approx(found.base_accuracy - found.accuracy)
    assert found.saved == pytest.approx(1 - macs / 4000)


@settings(max_examples=15)
@given(st.integers(0, 1000), st.sampled_from(["point", "upper95"]), st.sampled_from([0.0, 0.02, 0.1]))
def test_the_search_keeps_the_limit_and_no_one_exit_would_be_cheaper(seed: int, statistic: str, limit: float) -> None:
    table = made(seed, 2, 200)
    thresholds = solve_stream(table, costs(2), limit=limit, statistic=statistic, steps=6)
    macs, loss = macs_and_loss(table, thresholds, statistic)
    assert loss <= limit + SLACK or not np.isfinite(thresholds).any()
    assert macs <= 3000
    grids = [[*np.sort(row)[np.linspace(0, 199, 6).astype(int)], INF] for row in table.confidences]
    for k, grid in enumerate(grids):
        for value in grid:
            other = thresholds.copy()
            other[k] = value
            cheaper, worse = macs_and_loss(table, other, statistic)
            assert cheaper >= macs - 1e-3 or worse > limit - SLACK


def test_near_the_best_of_the_whole_grid() -> None:
    ratios = []
    for seed in range(12):
        table = made(seed, 2, 200)
        found, _ = macs_and_loss(table, solve_stream(table, costs(2), limit=0.02, statistic="point", steps=6), "point")
        grids = [[*np.sort(row)[np.linspace(0, 199, 6).astype(int)], INF] for row in table.confidences]
        kept = [
            macs
            for thresholds in itertools.product(*grids)
            for macs, loss in [macs_and_loss(table, thresholds, "point")]
            if loss <= 0.02 + SLACK or thresholds == (INF, INF)
        ]
        # the shared sweep has a grid of its own, so that it may even be below
        ratios.append(found / min(kept))
    assert max(ratios) < 1.1
    assert np.mean(ratios) < 1.02


def test_one_exit_takes_the_best_of_its_grid() -> None:
    table = made(5, 1, 300)
    found, _ = macs_and_loss(table, solve_stream(table, costs(1), limit=0.01, statistic="point", steps=40), "point")
    grid = [*np.sort(table.confidences[0])[np.linspace(0, 299, 40).astype(int)], INF]
    kept = [macs_and_loss(table, [t], "point") for t in grid]
    assert found == pytest.approx(min(macs for macs, loss in kept if loss <= 0.01 + SLACK or macs == 2000))


def test_no_exit_where_none_pays() -> None:
    table = made(1)
    never = StreamTable(
        table.confidences, (table.predictions + np.arange(4)[::-1, None]) % 4, table.labels, table.starts
    )
    assert np.isinf(solve_stream(never, costs(), limit=0.0, statistic="upper95")).all()
    none = StreamTable(table.confidences[:0], table.predictions[-1:], table.labels, table.starts)
    assert solve_stream(none, Costs(np.array([1000]), np.zeros(0, np.int64)), limit=0.1).shape == (0,)


def test_weights_count() -> None:
    table = made(2)
    half = StreamTable(
        table.confidences, table.predictions, table.labels, table.starts, (np.arange(400) < 200).astype(np.float64)
    )
    first = StreamTable(table.confidences[:, :200], table.predictions[:, :200], table.labels[:200], table.starts[:200])
    thresholds = np.array([2.0, 2.0, 2.0], np.float32)
    found, wanted = (stream_outcome(one, costs(), thresholds) for one in (half, first))
    assert (found.accuracy, found.macs) == (pytest.approx(wanted.accuracy), pytest.approx(wanted.macs))
