from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from eennc.training.heads import Scaling, hold_out, sample_weights, train_head
from eennc.training.recipe import Recipe, Targets, TrainedHead

CLASSES = 4
RECIPE = Recipe(epochs=5)


def made(samples: int = 600, width: int = 12, seed: int = 0) -> tuple[np.ndarray, Targets]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, samples)
    centres = random.normal(size=(CLASSES, width))
    features = centres[labels] * 0.7 + random.normal(size=(samples, width))
    features = features * np.geomspace(0.1, 10, width) + np.geomspace(10, 0.1, width)
    teacher = (4 * np.eye(CLASSES)[labels] + random.normal(size=(samples, CLASSES))).astype(np.float32)
    return features.astype(np.float16), Targets(teacher, labels)


def content(head: TrainedHead) -> bytes:
    return b"".join(array.tobytes() for layer in head.layers for array in layer)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    logits = logits - logits.max(axis=1, keepdims=True)
    return float((np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]).mean())


def test_same_bytes_whatever_runs_beside_it() -> None:
    sets = [made(seed=seed) for seed in range(4)]

    def one(index: int) -> bytes:
        return content(train_head(sets[index][0], sets[index][1], (8,), RECIPE))

    alone = [one(index) for index in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(4))) == alone
    assert len(set(alone)) == 4


def test_the_seed_decides() -> None:
    features, targets = made()
    first = train_head(features, targets, (8,), RECIPE)
    assert content(first) != content(train_head(features, targets, (8,), replace(RECIPE, seed=1)))


def test_linear_head_reaches_the_optimum_of_logistic_regression() -> None:
    features, targets = made()
    labels = targets.labels
    assert labels is not None
    x = features.astype(np.float64)
    x = (x - x.mean(axis=0)) / x.std(axis=0)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        matrix = flat.reshape(x.shape[1] + 1, CLASSES)
        logits = x @ matrix[:-1] + matrix[-1]
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        slope = (shares - np.eye(CLASSES)[labels]) / len(x)
        return cross_entropy(logits, labels), np.vstack([x.T @ slope, slope.sum(axis=0)]).ravel()

    optimum = minimize(objective, np.zeros((x.shape[1] + 1) * CLASSES), jac=True, method="L-BFGS-B").fun
    recipe = Recipe(epochs=150, batch=100, learning_rate=0.02, weight_decay=0, holdout=0)
    recipe = replace(recipe, distill=0, label_smoothing=0, balance="equal")
    head = train_head(features, targets, (), recipe)
    assert optimum <= cross_entropy(head(features), labels) + 1e-6
    assert cross_entropy(head(features), labels) < optimum + 1e-3


def test_without_labels_the_teacher_is_learnt() -> None:
    features, targets = made(1500)
    head = train_head(features, Targets(targets.teacher), (16,), replace(RECIPE, epochs=30, distill=0))
    agreement = (head(features).argmax(axis=1) == targets.teacher.argmax(axis=1)).mean()
    assert agreement > 0.85
    assert abs(head.accuracy - agreement) < 0.15
    unlike = Targets(np.roll(targets.teacher, 1, axis=1))
    rolled = train_head(features, unlike, (16,), replace(RECIPE, epochs=30, distill=0))
    assert (rolled(features).argmax(axis=1) == unlike.teacher.argmax(axis=1)).mean() > 0.85


@given(st.integers(2, 300), st.floats(0, 0.5), st.integers(0, 5))
def test_hold_out_is_a_partition(count: int, share: float, seed: int) -> None:
    rows, held = hold_out(count, share, seed)
    assert sorted([*rows, *held]) == list(range(count))
    assert len(rows) > 0
    assert (len(held) > 0) == (share > 0)


def test_few_samples_get_many_steps_and_many_samples_few_epochs() -> None:
    recipe = Recipe(batch=256)
    assert recipe.batch_for(100) == 5
    assert recipe.epochs_for(100) == 100
    assert recipe.epochs_for(45_000) * recipe.steps_per_epoch(45_000) == pytest.approx(2000, rel=0.05)
    assert recipe.epochs_for(10_000_000) == 10
    assert Recipe(epochs=3).epochs_for(100) == 3


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(1, 9), st.integers(1, 5))
def test_folding_equals_explicit_standardisation(seed: int, width: int, outputs: int) -> None:
    random = np.random.default_rng(seed)
    features = (random.normal(size=(50, width)) * random.uniform(0.1, 10, width) + random.normal(size=width)).astype(
        np.float32
    )
    features[:, 0] = 3.25  # a feature that never changes
    scaling = Scaling.of(features, np.arange(50))
    matrix, bias = random.normal(size=(width, outputs)), random.normal(size=outputs)
    deviation = features.astype(np.float64).std(axis=0)
    deviation[0] = 1
    explicit = (features - features.astype(np.float64).mean(axis=0)) / deviation @ matrix + bias
    folded_matrix, folded_bias = scaling.fold(matrix, bias)
    np.testing.assert_allclose(
        features @ folded_matrix + folded_bias, explicit, atol=1e-4 * (1 + np.abs(explicit).max())
    )


def test_balance_makes_rare_classes_heavier() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    targets = Targets(np.zeros((100, 3), np.float32), labels)
    full, root = sample_weights(targets, 1), sample_weights(targets, 0.5)
    assert full[0] * 90 == pytest.approx(full[-1] * 10)
    assert root[-1] / root[0] == pytest.approx(3)
    assert full.mean() == pytest.approx(1)
    np.testing.assert_array_equal(sample_weights(targets, 0), np.ones(100))


def test_balanced_loss_finds_the_rare_class() -> None:
    random = np.random.default_rng(0)
    labels = (np.arange(2000) % 20 == 0).astype(np.int64)
    features = (random.normal(size=(2000, 6)) + 0.6 * labels[:, None]).astype(np.float32)
    targets = Targets(np.eye(2, dtype=np.float32)[labels] * 4, labels)
    recall: dict[str, float] = {}
    for balance in ("equal", "full"):
        head = train_head(features, targets, (), replace(RECIPE, epochs=20, balance=balance))
        recall[balance] = float((head(features).argmax(axis=1) == 1)[labels == 1].mean())
    assert recall["full"] > recall["equal"] + 0.3


def test_sample_weights_of_the_split_count() -> None:
    features, targets = made()
    assert targets.labels is not None
    only = Targets(targets.teacher, targets.labels, weights=(targets.labels < 2).astype(np.float64))
    head = train_head(features, only, (), replace(RECIPE, epochs=60, balance="equal", distill=0))
    assert (head(features).argmax(axis=1) < 2).mean() > 0.95


def test_fewer_samples_than_a_batch() -> None:
    features, targets = made(20)
    head = train_head(features, targets, (8,), replace(RECIPE, batch=1000))
    assert np.isfinite(head(features)).all()
