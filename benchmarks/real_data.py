"""Compiles the real models on their data and measures the artefacts: the table of docs/benchmarks.md.

    python benchmarks/real_data.py speech ecg resnet20 resnet56      # some minutes each; heads are cached

Needs the data folder (../shared/data, or $EENNC_DATA) and, for CIFAR-10, Pillow.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import eennc
from eennc.data.splits import Split, Splits
from eennc.passes.exits.solve_thresholds import SolveThresholds
from eennc.plugins import load_plugins
from eennc.recipe import Recipe, recipe_of
from eennc.recipe.inputs import splits_of
from eennc.runtime.measure import measure

REPO = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("EENNC_DATA", REPO.parent / "shared/data"))
TASKS = {
    "speech": ("dscnn_asc40.onnx", "speech"),
    "ecg": ("ecg_cnn_aami5.onnx", "ecg"),
    "resnet20": ("resnet20_cifar10jpegft.onnx", "cifar10"),
    "resnet56": ("resnet56_cifar10jpegft.onnx", "cifar10"),
}
SETTINGS = ((0.01, "held-out95"), (0.01, "upper95"), (0.01, "point"))
HEADINGS = (
    "model, limit",
    "base",
    "EENN",
    "loss, 95 % interval (points)",
    "MACs saved",
    "static cut: saved, loss",
    "stop at each exit, final",
    "latency",
    "wall time",
)


def compile_and_measure(
    name: str, recipe: Recipe, splits: Splits, test: Split, setting: tuple[float, str], cache: Path
) -> str:
    """One row of the table."""
    model, _ = TASKS[name]
    limit, statistic = setting
    passes = [
        replace(p, limit=limit, statistic=statistic) if isinstance(p, SolveThresholds) else p for p in recipe.passes
    ]
    if recipe.input is not None:
        passes = [recipe.input, *passes]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "build"
        compiled = eennc.compile(DATA / "models" / model, passes=passes, data=splits, output=output, cache=cache)
        measured = measure(eennc.load(output), test, timed=1000)
    assert compiled.summary is not None
    assert compiled.summary.test is not None
    assert measured.latency is not None
    summary, figures = compiled.summary, compiled.summary.test
    balanced = summary.metric == "balanced-accuracy"

    def accuracy(outcome: object) -> float:
        return getattr(outcome, "balanced_accuracy" if balanced else "accuracy")

    def loss(outcome: object) -> str:
        found = getattr(outcome, "balanced_loss" if balanced else "loss")
        return f"{100 * found.point:+.2f} [{100 * found.lower:+.2f}, {100 * found.upper:+.2f}]"

    shares = ", ".join(f"{100 * row.share:.0f}" for row in figures.exits)
    latency = measured.latency
    cells = (
        f"{name}, {100 * limit:g} {statistic}{', balanced' if balanced else ''}, n = {figures.samples:,}",
        f"{100 * accuracy(figures.base):.1f} %",
        f"{100 * accuracy(figures.eenn):.1f} %",
        loss(figures.eenn),
        f"{100 * figures.eenn.saved:.1f} %",
        f"{100 * figures.static.saved:.1f} %, {loss(figures.static)}",
        shares,
        f"{latency.base_mean_us:.0f} -> {latency.eenn_mean_us:.0f} us ({latency.ratio:.2f})",
        f"{compiled.seconds:.0f} s",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="*", choices=[*TASKS, []], help="default: all")
    parser.add_argument("--cache", type=Path, help="keep heads here (default: a new folder, so that all is timed)")
    given = parser.parse_args()
    if not DATA.is_dir():
        raise SystemExit(f"no data folder at {DATA}")
    load_plugins()
    print(f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        for name in given.tasks or TASKS:
            recipe = recipe_of(REPO / "examples" / TASKS[name][1] / "passes.yaml")
            splits = splits_of(recipe, None)
            assert splits.test is not None
            for setting in SETTINGS:
                cache = given.cache or Path(temporary)
                print(compile_and_measure(name, recipe, splits, splits.test, setting, cache), flush=True)


if __name__ == "__main__":
    main()
