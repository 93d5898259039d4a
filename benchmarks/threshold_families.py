"""Which family of thresholds does best on new data: random re-splits of the real networks' score tables.

    python benchmarks/real_tables.py OUT                          # the tables, once
    python benchmarks/threshold_families.py --tables OUT --splits 200 --keep OUT/splits speech ecg

The samples of calibration and test are pooled and divided again at random: by whole groups where the data has them,
else class by class. Every fixed family and the default, which chooses one by cross-validation, choose thresholds on the
one part and are looked at on the other. `--keep` keeps what each re-split gave, and takes what is there.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from real_tables import load_tables

from eennc.policy.choice import FAMILIES, Family
from eennc.policy.evaluate import evaluate
from eennc.policy.families import Settings, choose_family
from eennc.policy.folds import folds_of
from eennc.policy.goal import Goal
from eennc.policy.solve import solve
from eennc.policy.statistics import SLACK, Statistic, loss_of
from eennc.policy.table import Costs, Policy, ScoreTable, Tables

LIMIT = 0.01
DEFAULT = "default"
MIN_GAIN = 0.005
"""As solve-thresholds has it."""


def pooled(tables: Tables, apart: bool) -> ScoreTable:
    """Both splits' samples. `apart`: the splits' groups are others, as speakers are; else the same, as records are."""
    one, other = tables.calibration, tables.test
    assert other is not None
    groups = None
    if one.groups is not None and other.groups is not None:
        groups = np.concatenate([one.groups, other.groups + (one.groups.max() + 1 if apart else 0)])
    return ScoreTable(
        "calibration",
        np.concatenate([one.scores, other.scores], axis=1),
        np.concatenate([one.labels, other.labels]),
        groups=groups,
    )


def divided(pool: ScoreTable, size: int, seed: int) -> tuple[ScoreTable, ScoreTable]:
    """At most `size` samples for calibration, of half of the pool; and the other half."""
    random = np.random.default_rng(seed)
    if pool.groups is None:
        first = np.isin(folds_of(pool, seed), (0, 1))
        first |= (folds_of(pool, seed) == 2) & (random.random(len(pool)) < 0.5)
    else:
        names = random.permutation(np.unique(pool.groups))
        first = np.isin(pool.groups, names[: len(names) // 2])
    rows = np.flatnonzero(first)
    if len(rows) > size:
        rows = np.sort(random.choice(rows, size, replace=False))
    return pool.rows(rows), pool.rows(np.flatnonzero(~first))


def one_split(calibration: ScoreTable, test: ScoreTable, costs: Costs, goal: Goal) -> dict[str, Any]:
    """Saving and loss on test of every family and of the default, and what the default expected."""
    found: dict[str, Any] = {}

    def policy(family: Family) -> Policy:
        return solve(calibration, costs, goal, family=family, min_gain=MIN_GAIN, thorough=False)

    def outcome(policy: Policy) -> tuple[float, float]:
        seen = evaluate(test, costs, policy)
        saved = 1 - float(test.sample_weights @ seen.macs) / int(costs.backbone[-1])
        return saved, loss_of(test, seen.correct, goal.metric).point

    for family in FAMILIES:
        found[family] = outcome(policy(family))
    choice = choose_family(calibration, costs, goal, settings=Settings(min_gain=MIN_GAIN))
    found[DEFAULT], found["choice"] = found[choice.family], choice.family
    if choice.expected is not None:
        loss = choice.expected.loss
        found["expected"] = (choice.expected.saved, loss.point, loss.lower, loss.upper)
    return found


def re_splits(
    tables: Tables, goal: Goal, size: int, splits: int, first: int, apart: bool, kept: Path | None
) -> list[Any]:
    """What each re-split gives."""
    pool = pooled(tables, apart)
    before = kept.read_text().splitlines() if kept is not None and kept.exists() else []
    found = [json.loads(line) for line in before][:splits]
    for seed in range(len(found), splits):
        found.append(one_split(*divided(pool, size, first + seed), tables.costs, goal))
        if kept is not None:
            with kept.open("a") as stream:
                stream.write(json.dumps(found[-1]) + "\n")
    return found


def report(title: str, found: list[Any]) -> Iterator[str]:
    """A table in Markdown, and a verdict."""
    names = [*FAMILIES, DEFAULT]
    values: NDArray[np.float64] = np.array([[split[name] for name in names] for split in found])
    count = len(found)
    saved, losses = values[..., 0], values[..., 1]
    broken = losses > LIMIT + SLACK
    root = math.sqrt(count)
    yield f"\n{title}, {count} re-splits\n"
    yield "| thresholds | saved on test, % | loss on test, points | limit broken, % |"
    yield "|---|---|---|---|"
    for i, name in enumerate(names):
        yield (
            f"| {name} | {100 * saved[:, i].mean():.2f} ± {100 * saved[:, i].std() / root:.2f} | "
            f"{100 * losses[:, i].mean():.2f} ± {100 * losses[:, i].std() / root:.2f} | "
            f"{100 * broken[:, i].mean():.1f} ± {100 * broken[:, i].std() / root:.1f} |"
        )
    chosen = ", ".join(f"{f} {sum(split['choice'] == f for split in found)}" for f in FAMILIES)
    yield f"\nchosen: {chosen}"
    expected = [(split["expected"], split[DEFAULT]) for split in found if "expected" in split]
    if expected:
        gap = np.array([e[1] - d[1] for e, d in expected])
        inside = np.mean([e[2] <= d[1] <= e[3] for e, d in expected])
        saving = np.array([e[0] - d[0] for e, d in expected])
        yield (
            f"expected minus test: loss {100 * gap.mean():+.2f} points, saving {100 * saving.mean():+.2f}; "
            f"test loss within the interval in {inside:.0%}"
        )
    yield verdict(saved, broken)


def verdict(saved: NDArray[np.float64], broken: NDArray[np.bool_]) -> str:
    """The default, in the last column, against the fixed families: the difference in how often the limit is broken is
    paired, split by split.
    """
    default = len(FAMILIES)
    careful = int(broken[:, :default].mean(axis=0).argmin())

    def more_often(i: int) -> tuple[float, float]:
        difference = broken[:, i].astype(float) - broken[:, careful]
        return float(difference.mean()), float(difference.std() / math.sqrt(len(broken)))

    allowed = [i for i in range(default) if more_often(i)[0] <= 2 * more_often(i)[1] + SLACK]
    means = 100 * saved.mean(axis=0)
    best, best_allowed = int(means[:default].argmax()), max(allowed, key=lambda i: means[i])
    more, error = more_often(default)
    return (
        f"verdict: breaks the limit {100 * more:+.1f} ± {100 * error:.1f} % of re-splits more often than "
        f"{FAMILIES[careful]}, the most careful: {'ok' if more <= 2 * error + SLACK else 'NOT OK'}; saves "
        f"{means[default] - means[best_allowed]:+.2f} points against {FAMILIES[best_allowed]}, the best of those as "
        f"careful: {'ok' if means[default] >= means[best_allowed] - 1 else 'NOT OK'}; "
        f"{means[default] - means[best]:+.2f} against {FAMILIES[best]}, the best of all: "
        f"{'ok' if means[default] >= means[best] - 1 else 'NOT OK'}"
    )


def main() -> None:
    """Run the re-splits that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="+", help="tables, by the names of their files")
    parser.add_argument("--tables", type=Path, required=True, help="the folder that real_tables.py wrote")
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="the first re-split's seed")
    parser.add_argument("--sizes", type=int, nargs="+", default=[2500, 500], help="most samples for calibration")
    parser.add_argument("--statistics", nargs="+", default=["upper95", "point"], choices=["upper95", "point"])
    parser.add_argument("--keep", type=Path, help="a folder for the results of each re-split")
    given = parser.parse_args()
    if given.keep is not None:
        given.keep.mkdir(parents=True, exist_ok=True)
    for name in given.names:
        tables = load_tables(given.tables / f"{name}.npz")
        ecg = name == "ecg"
        for size in given.sizes:
            for statistic in given.statistics:
                chosen: Statistic = statistic
                goal = Goal(limit=LIMIT, metric="balanced-accuracy" if ecg else "accuracy", statistic=chosen)
                kept = None if given.keep is None else given.keep / f"{name}-{size}-{statistic}.jsonl"
                # the records of the ECG data are cut in time, so both splits have all of them
                found = re_splits(tables, goal, size, given.splits, given.first, not ecg, kept)
                title = f"**{name}**, at most {size:,} samples, limit 1 point by {statistic}"
                print("\n".join(report(title, found)), flush=True)


if __name__ == "__main__":
    main()
