"""Do the guarantees hold, and what do they cost: the tables of docs/guarantees.md.

    python benchmarks/real_tables.py TABLES ecg speech resnet20 resnet56
    python benchmarks/threshold_guarantees.py --tables TABLES         # some minutes a case
    python benchmarks/threshold_guarantees.py --needed                # how many samples, at once

A table is taken as the whole population, calibration and test together. Calibration sets are drawn from it with
replacement, samples or whole groups, and a violation is a loss on the population above epsilon. Of a network's exits
three are kept, evenly spread, so that a draw takes a fraction of a second.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from real_tables import load_tables

from eennc.policy.certificate import Guarantee, Method
from eennc.policy.evaluate import evaluate
from eennc.policy.goal import Goal
from eennc.policy.guarantee import guaranteed
from eennc.policy.risk_tests import betting_p_value, paired_p_value
from eennc.policy.solve import solve
from eennc.policy.statistics import Metric, metric_weights
from eennc.policy.table import Costs, Floats, Policy, ScoreTable

METHODS: tuple[Method, ...] = ("ltt", "ucb", "crc")


@dataclass(frozen=True)
class Case:
    """A population, and calibration sets of `size` samples or groups drawn from it."""

    table: str
    size: int
    epsilon: float
    metric: Metric = "accuracy"
    grouped: bool = False


CASES = (
    Case("synthetic", 2000, 0.01),
    Case("synthetic", 400, 0.02, grouped=True),
    Case("synthetic", 4000, 0.03, "balanced-accuracy"),
    Case("resnet20", 2500, 0.01),
    Case("ecg", 4000, 0.05, "balanced-accuracy"),
    Case("resnet56", 2500, 0.01),
    Case("speech", 1200, 0.005),
)


def synthetic(grouped: bool, samples: int = 10_000, exits: int = 3, classes: int = 4, seed: int = 0) -> ScoreTable:
    """Exits that meet one difficulty, later ones better; with groups of 20, whose difficulties differ."""
    random = np.random.default_rng(seed)
    labels = random.choice(classes, samples, p=np.array([0.4, 0.3, 0.2, 0.1]))
    groups = np.arange(samples) // 20
    hard = random.normal(size=samples) + (0.5 * random.normal(size=groups[-1] + 1)[groups] if grouped else 0.0)
    wrong = (labels + random.integers(1, classes, samples)) % classes
    scores = 0.5 * random.normal(size=(exits + 1, samples, classes))
    for k in range(exits + 1):
        margin = 1.2 + 2.5 * (k + 1) / (exits + 1) - 1.8 * hard + random.normal(size=samples)
        scores[k, np.arange(samples), labels] += np.maximum(margin, 0)
        scores[k, np.arange(samples), wrong] += np.maximum(-margin, 0)
    return ScoreTable("population", scores.astype(np.float32), labels, groups=groups if grouped else None)


def population(case: Case, folder: Path | None) -> tuple[ScoreTable, Costs]:
    """All samples of a table, with at most three exits; without the groups of a real one, which are too few."""
    if case.table == "synthetic":
        return synthetic(case.grouped), Costs(np.array([1000, 2000, 3000, 4000]), np.array([20, 20, 20]))
    assert folder is not None
    tables = load_tables(folder / f"{case.table}.npz")
    assert tables.test is not None
    kept = [int(k) for k in np.linspace(0, tables.calibration.exits - 1, 3).round()]
    parts = tables.only(kept).calibration, tables.only(kept).test
    scores = np.concatenate([part.scores for part in parts], axis=1)
    labels = np.concatenate([part.labels for part in parts])
    return ScoreTable("population", scores, labels, parts[0].kind), tables.costs.only(kept)


def draw(table: ScoreTable, size: int, random: np.random.Generator) -> ScoreTable:
    """A calibration set: samples, or groups with all their samples, which are new groups where drawn again."""
    if table.groups is None:
        return table.rows(random.integers(0, len(table), size))
    names = np.unique(table.groups)
    rows = [np.flatnonzero(table.groups == name) for name in random.choice(names, size)]
    numbers = np.repeat(np.arange(size), [len(part) for part in rows])
    return dataclasses.replace(table.rows(np.concatenate(rows)), groups=numbers)


def counts(table: ScoreTable, metric: Metric) -> Floats:
    """What each sample of the population counts in the loss that is guaranteed, float64 [n], adding up to 1."""
    if table.groups is None:
        return metric_weights(table, metric)
    number = np.unique(table.groups, return_inverse=True)[1]
    sizes = np.bincount(number)
    return 1 / sizes[number] / len(sizes)


def simulate(case: Case, delta: float, draws: int, folder: Path | None) -> None:
    """Print one row per method."""
    table, costs = population(case, folder)
    weights = counts(table, case.metric)
    base = table.correct[-1].astype(np.float64)
    found: dict[str, list[tuple[float, float, float]]] = {}

    def solved(part: ScoreTable, goal: Goal, known: Policy | None = None) -> Policy:
        return solve(
            part,
            costs,
            goal,
            fitted=None if known is None else known.temperatures,
            thorough=False,
            min_gain=0.005,
        )

    def candidate(part: ScoreTable, limit: float, known: Policy | None) -> Policy:
        return solved(part, Goal(limit, case.metric).losing(1.0), known)

    started = time.perf_counter()
    for seed in range(draws):
        sample = draw(table, case.size, np.random.default_rng(seed))
        point = solved(sample, Goal(case.epsilon, case.metric))
        policies = {"point": point, "upper95": solved(sample, Goal(case.epsilon, case.metric, "upper95"), point)}
        remembered = _remembered(candidate)
        for method in METHODS:
            wanted = Guarantee(case.epsilon, None if method == "crc" else delta, method)
            policies[method] = guaranteed(sample, costs, wanted, case.metric, remembered)[0]
        for name, policy in policies.items():
            outcome = evaluate(table, costs, policy)
            loss = float(weights @ (base - outcome.correct))
            saved = 1 - float(table.sample_weights @ outcome.macs) / float(costs.backbone[-1])
            found.setdefault(name, []).append((loss, saved, float(policy.active.any())))
    unit = "groups" if case.grouped else "samples"
    print(
        f"\n{case.table}, {case.metric}, epsilon {case.epsilon:g}, delta {delta:g}, "
        f"{draws} draws of {case.size} {unit} ({time.perf_counter() - started:.0f} s)"
    )
    allowed = delta + 2 * math.sqrt(delta * (1 - delta) / draws)
    print(f"| method | violations (allowed {100 * allowed:.1f} %) | mean loss, points | exits in | MACs saved |")
    print("|---|---|---|---|---|")
    for name, rows in found.items():
        losses, savings, exits = (np.array(column) for column in zip(*rows, strict=True))
        print(
            f"| {name} | {100 * (losses > case.epsilon + 1e-12).mean():.1f} % | {100 * losses.mean():.2f} "
            f"| {100 * exits.mean():.0f} % | {100 * savings.mean():.1f} % |",
            flush=True,
        )


def _remembered(fit: Callable[[ScoreTable, float, Policy | None], Policy]) -> Callable[..., Policy]:
    """The three methods divide a sample alike, and so have the same front."""
    kept: dict[float, Policy] = {}

    def remembered(part: ScoreTable, limit: float, known: Policy | None) -> Policy:
        if limit not in kept:
            kept[limit] = fit(part, limit, known)
        return kept[limit]

    return remembered


def hoeffding_bentkus(worse: int, better: int, samples: int, mean: float) -> float:
    """The p-value of Learn then Test's section 3.1, of (loss + 1) / 2."""
    from scipy.stats import binom

    share, limit = ((worse - better) / samples + 1) / 2, (mean + 1) / 2
    if share >= limit:
        return 1.0
    divergence = share * math.log(share / limit) + (1 - share) * math.log((1 - share) / (1 - limit))
    return min(
        math.exp(-samples * divergence), math.e * float(binom.cdf(math.ceil(samples * share), samples, limit)), 1.0
    )


def needed(level: float = 0.05) -> None:
    """Print how many certifying samples each test needs, at rates of worse and better samples."""
    tests: dict[str, Callable[[int, int, int, float], float]] = {
        "exact": lambda a, b, n, mean: paired_p_value(a, b, n, mean, level),
        "betting": lambda a, b, n, mean: _betting(a, b, n, mean),
        "Hoeffding-Bentkus": hoeffding_bentkus,
    }
    print(f"| epsilon | worse | better | {' | '.join(tests)} |\n|---|---|---|{'---|' * len(tests)}")
    for epsilon in (0.02, 0.01, 0.005):
        for worse, better in ((0.0, 0.0), (0.005, 0.005), (0.01, 0.01), (0.03, 0.03)):
            cells = []
            for test in tests.values():
                low, high = 0, 16
                while _p(test, worse, better, high, epsilon) > level:
                    low, high = high, 2 * high
                while high - low > max(high // 200, 1):
                    middle = (low + high) // 2
                    enough = _p(test, worse, better, middle, epsilon) <= level
                    low, high = (low, middle) if enough else (middle, high)
                cells.append(f"{high:,}")
            print(f"| {epsilon:g} | {100 * worse:g} % | {100 * better:g} % | {' | '.join(cells)} |", flush=True)


def _p(test: Callable[[int, int, int, float], float], worse: float, better: float, n: int, epsilon: float) -> float:
    return test(round(worse * n), round(better * n), n, epsilon)


def _betting(worse: int, better: int, samples: int, mean: float) -> float:
    times = np.array([worse, better, samples - worse - better], np.float64)
    seen = times > 0
    return betting_p_value(np.array([1.0, -1.0, 0.0])[seen], mean, np.ones(int(seen.sum())), times[seen])


def main() -> None:
    """Simulate the cases whose tables are there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--delta", type=float, default=0.1)
    parser.add_argument("--tables", type=Path, help="folder of .npz; without, the synthetic tables alone")
    parser.add_argument("--only", help="the cases of one table")
    parser.add_argument("--needed", action="store_true", help="print the table of sample sizes instead")
    given = parser.parse_args()
    if given.needed:
        needed()
        return
    for case in CASES:
        there = case.table == "synthetic" or (given.tables and (given.tables / f"{case.table}.npz").is_file())
        if there and given.only in (None, case.table):
            simulate(case, given.delta, given.draws, given.tables)


if __name__ == "__main__":
    main()
