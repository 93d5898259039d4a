"""What temporal-patience saves over rules that take each sample for itself, on ECG beats: docs/streams.md.

python benchmarks/streams.py                   # some minutes; needs the data folder (../shared/data, or $EENNC_DATA)
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import eennc
from eennc.data.splits import Split, Splits
from eennc.passes.base import Pass
from eennc.passes.exits.insert_exits import InsertExits
from eennc.passes.exits.solve_stream import SolveStream
from eennc.passes.exits.solve_thresholds import SolveThresholds
from eennc.plugins import load_plugins
from eennc.recipe import Recipe, recipe_of
from eennc.recipe.inputs import splits_of
from eennc.runtime.measure import Measurement, measure

REPO = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("EENNC_DATA", REPO.parent / "shared/data"))
HEADS = {"default heads": InsertExits(), "small heads": InsertExits(grid=1, head="linear")}
LIMITS = (0.01, 0.0)
HEADINGS = (
    "heads, limit",
    "rule",
    "accuracy",
    "loss, 95 % interval (points)",
    "balanced accuracy",
    "MACs saved",
    "stop at each exit, final",
)


def solvers(limit: float) -> dict[str, Pass]:
    """Passes that choose thresholds under a limit on the loss of accuracy, its upper bound by records."""
    shared = SolveThresholds(limit=limit, statistic="upper95", thresholds="shared")
    return {
        "max_probability": shared,
        "margin": replace(shared, rule="margin"),
        "margin, a threshold per exit": replace(shared, rule="margin", thresholds="per-exit"),
        "patience": replace(shared, rule="patience"),
        "temporal-patience": SolveStream(limit=limit),
    }


def shuffled(split: Split) -> Split:
    """The same beats, in no order within their record."""
    random = np.random.default_rng(0)
    assert split.groups is not None
    order = np.lexsort((random.random(len(split)), split.groups))
    return Split(split.name, split.x[order], split.labels[order], groups=split.groups[order])


def rows_of(
    recipe: Recipe, splits: Splits, heads: str, limit: float, rule: str, solver: Pass, cache: Path
) -> list[str]:
    """Compile with one rule, run the artefact over the test beats in onnxruntime; for a stream also out of order."""
    instead: dict[type[Pass], Pass] = {SolveThresholds: solver, InsertExits: HEADS[heads]}
    passes = [instead.get(type(p), p) for p in recipe.passes]
    test = splits.need("test", "this")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "build"
        model = DATA / "models/ecg_cnn_aami5.onnx"
        compiled = eennc.compile(model, passes=passes, data=splits, output=output, cache=cache)
        session = eennc.load(output)
        found = [(rule, measure(session, test, timed=0))]
        if session.streams:
            found.append((f"{rule}, beats shuffled within their record", measure(session, shuffled(test), timed=0)))
    report = compiled.report["stream"] or compiled.report["result"]
    return [
        _row(f"{heads}, {100 * limit:g}", name, measured, report["test"], first=not k)
        for k, (name, measured) in enumerate(found)
    ]


def _row(setting: str, name: str, measured: Measurement, reported: Mapping[str, Any], *, first: bool) -> str:
    shares = [exit.share for exit in measured.exits]
    macs = sum(share * row["macs"] for share, row in zip(shares, reported["exits"], strict=True))
    base = reported["base_macs"] if "base_macs" in reported else reported["base"]["macs"]
    loss = reported["loss"] if "loss" in reported else reported["eenn"]["loss"]
    assert measured.accuracy is not None
    assert measured.base_accuracy is not None
    assert measured.balanced_accuracy is not None
    point = 100 * (measured.base_accuracy - measured.accuracy)
    interval = ""
    if first:
        # what onnxruntime answers is what the report says
        assert abs(point - 100 * loss["point"]) < 0.1
        interval = f" [{100 * loss['lower']:+.2f}, {100 * loss['upper']:+.2f}]"
    cells = (
        setting,
        name,
        f"{100 * measured.accuracy:.2f} %",
        f"{point:+.2f}{interval}",
        f"{100 * measured.balanced_accuracy:.1f} %",
        f"{100 * (1 - macs / base):.1f} %",
        ", ".join(f"{100 * share:.0f}" for share in shares),
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cache", type=Path, help="keep heads here (default: a new folder)")
    given = parser.parse_args()
    if not DATA.is_dir():
        raise SystemExit(f"no data folder at {DATA}")
    load_plugins()
    recipe = recipe_of(REPO / "examples/ecg/passes.yaml")
    splits = splits_of(recipe, None)
    test = splits.need("test", "this")
    print(f"{len(test):,} test beats, {test.sequences} records\n")
    print(f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        for heads, limit in itertools.product(HEADS, LIMITS):
            for rule, solver in solvers(limit).items():
                for row in rows_of(recipe, splits, heads, limit, rule, solver, given.cache or Path(temporary)):
                    print(row, flush=True)


if __name__ == "__main__":
    main()
