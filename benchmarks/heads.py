"""Why the default head and its training are what they are: what else was tried, on real data.

    python benchmarks/heads.py [speech ecg resnet20] [--quick] [--cache DIR]

For each variant: MACs saved in %, heads counted, at a loss of 0.5, 1 and 3 points against the base network (ECG: of
balanced accuracy), on the calibration and the test split. One threshold on temperature-scaled confidence; which exits
are kept is chosen on calibration at each loss. Defaults were chosen by the calibration columns. `--quick`: 5,000
training samples. Features and heads stay in --cache, so that a second run only prints.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eennc.data.cache import Cache
from eennc.data.splits import Split, Splits
from eennc.interop.onnx.reader import read_model
from eennc.ir.graph import Module
from eennc.passes import register
from eennc.passes.base import Context
from eennc.passes.exits.find_exits import FindExits
from eennc.passes.exits.insert_exits import InsertExits
from eennc.passes.exits.scoring import score_tables
from eennc.passes.exits.train_exits import TrainExits
from eennc.passes.pipeline import Pipeline, build_passes
from eennc.policy.table import Costs, ScoreTable, Tables

REPO = Path(__file__).resolve().parents[1]
LOSSES = (0.5, 1.0, 3.0)
CIFAR_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
CIFAR_STD = np.array([0.229, 0.224, 0.225], np.float32)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """A network and its data: `example` is the folder in examples/ that loads them."""

    model: str
    example: str
    balanced: bool = False


TASKS = {
    "speech": Task("dscnn_asc40.onnx", "speech"),
    "ecg": Task("ecg_cnn_aami5.onnx", "ecg", balanced=True),
    "resnet20": Task("resnet20_cifar10jpegft.onnx", "cifar10"),
}

VARIANTS: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("default", {}, {}),
    ("linear", {"head": "linear"}, {}),
    ("grid 4, hidden 16", {"grid": 4, "hidden": 16}, {}),
    ("grid 4, hidden 32", {"grid": 4, "hidden": 32}, {}),
    ("grid 4, hidden 64", {"grid": 4, "hidden": 64}, {}),
    ("grid 4, hidden 128", {"grid": 4, "hidden": 128}, {}),
    ("grid 4, hidden 256", {"grid": 4, "hidden": 256}, {}),
    ("average alone", {"reduction": "average"}, {}),
    ("grid 1", {"grid": 1}, {}),
    ("grid 2", {"grid": 2}, {}),
    ("grid 3", {"grid": 3}, {}),
    ("linear, average, grid 1", {"head": "linear", "reduction": "average", "grid": 1}, {}),
    ("blueprint", {"head": "blueprint"}, {}),
    ("labels alone", {}, {"distill": 0.0}),
    ("half labels", {}, {"distill": 0.5}),
    ("base's outputs alone", {}, {"distill": 1.0}),
    ("no label smoothing", {}, {"label_smoothing": 0.0}),
    ("label smoothing .2", {}, {"label_smoothing": 0.2}),
    ("step size 3e-3", {}, {"learning_rate": 3e-3}),
    ("step size 1e-2", {}, {"learning_rate": 1e-2}),
    ("10 epochs", {}, {"epochs": 10}),
    ("no dropout", {}, {"dropout": 0.0}),
    ("dropout .3", {}, {"dropout": 0.3}),
    ("weight decay .1", {}, {"weight_decay": 0.1}),
    ("classes not balanced", {}, {"balance": "equal"}),
    ("classes fully balanced", {}, {"balance": "full"}),
)


def splits_of(task: Task, most: int | None) -> Splits:
    """The task's data as its example loads them; `most` training samples."""
    path = REPO / "examples" / task.example / "data.py"
    spec = importlib.util.spec_from_file_location(f"data_{task.example}", path)
    assert spec
    assert spec.loader
    loader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loader)

    def split(name: str) -> Split:
        loaded = getattr(loader, name)()
        x, y = (loaded["x"], loaded["y"]) if isinstance(loaded, dict) else loaded[:2]
        if x.dtype == np.uint8:
            x = ((x.astype(np.float32) / 255 - CIFAR_MEAN) / CIFAR_STD).transpose(0, 3, 1, 2)
        rows = slice(most if name == "train" else None)
        return Split(name, np.ascontiguousarray(x[rows], np.float32), y[rows].astype(np.int64))

    return Splits(split("train"), split("calibration"), split("test"))


def log_probabilities(table: ScoreTable) -> Floats:
    """[exits + 1, n, classes] of the logits at temperature 1."""
    scores = table.scores.astype(np.float64)
    if table.kind == "probabilities":
        scores = np.log(np.maximum(scores, 1e-30))
    return scores - scores.max(axis=2, keepdims=True)


def confidences(logits: Floats, temperatures: Sequence[float]) -> Floats:
    """Largest probability [exits, n]."""
    return np.stack([1 / np.exp(rows / t).sum(axis=1) for rows, t in zip(logits, temperatures, strict=False)])


def temperature_of(logits: Floats, labels: NDArray[np.int64]) -> float:
    """Of 60 temperatures the one with the least negative log-likelihood."""
    right = logits[np.arange(len(labels)), labels]
    choices = np.geomspace(0.25, 6, 60)
    losses = [(np.log(np.exp(logits / t).sum(axis=1)) - right / t).mean() for t in choices]
    return float(choices[int(np.argmin(losses))])


@dataclass
class Judge:
    """Trade-off curves on one split."""

    table: ScoreTable
    costs: Costs
    temperatures: Sequence[float]
    balanced: bool

    def __post_init__(self) -> None:
        logits = log_probabilities(self.table)
        labels = self.table.labels
        self.confidence = confidences(logits, self.temperatures)
        self.right = logits.argmax(axis=2) == labels
        counts = np.bincount(labels)
        classes = (counts > 0).sum()
        self.share = 1 / (counts[labels] * classes) if self.balanced else np.full(len(labels), 1 / len(labels))

    def accuracy(self) -> Floats:
        """Of each exit and the base network, in %."""
        return 100 * (self.right * self.share).sum(axis=1)

    def saved(self, kept: Sequence[int], loss: float) -> float:
        """Largest share of MACs saved, in %, at a loss of at most `loss` points; interpolated between thresholds."""
        rows = [*kept, len(self.costs.head)]
        heads = np.array([sum(int(self.costs.head[j]) for j in kept if j <= k) for k in rows])
        cost = (np.asarray(self.costs.backbone)[rows] + heads) / int(self.costs.backbone[-1])
        confidence = self.confidence[list(kept)]
        last = np.ones(self.confidence.shape[1], bool)
        points: list[tuple[float, float]] = []
        for threshold in np.unique(np.quantile(confidence, np.linspace(0, 1, 150))):
            stop = np.argmax(np.vstack([confidence >= threshold, last]), axis=0)
            right = self.right[rows][stop, np.arange(len(last))]
            lost = ((self.right[-1].astype(float) - right) * self.share).sum()
            points.append((100 * float(lost), 100 * float(1 - cost[stop].mean())))
        within = [point for point in points if point[0] <= loss]
        if not within:
            return 0.0
        best = max(within, key=lambda point: point[1])
        beyond = [point for point in points if point[0] > loss and point[1] > best[1]]
        if not beyond:
            return max(0.0, best[1])
        following = min(beyond, key=lambda point: point[1])
        part = (loss - best[0]) / (following[0] - best[0])
        return max(0.0, best[1] + part * (following[1] - best[1]))


def subsets(exits: int) -> Iterator[tuple[int, ...]]:
    """All for few exits, else those of at most three and the whole."""
    for size in range(1, exits + 1):
        if exits <= 5 or size <= 3 or size == exits:
            yield from itertools.combinations(range(exits), size)


def judged(tables: Tables, balanced: bool) -> str:
    """One row: saved on calibration, on test, and accuracies per exit on calibration."""
    assert tables.test is not None
    logits = log_probabilities(tables.calibration)
    temperatures = [temperature_of(rows, tables.calibration.labels) for rows in logits[:-1]]
    calibration = Judge(tables.calibration, tables.costs, temperatures, balanced)
    test = Judge(tables.test, tables.costs, temperatures, balanced)
    found: list[tuple[float, float]] = []
    for loss in LOSSES:
        kept = max(subsets(len(temperatures)), key=lambda some: calibration.saved(some, loss))
        found.append((calibration.saved(kept, loss), test.saved(kept, loss)))
    columns = [" / ".join(f"{pair[side]:4.1f}" for pair in found) for side in (0, 1)]
    return " | ".join([*columns, " ".join(f"{value:.1f}" for value in calibration.accuracy())])


def prepared(task: Task, ctx: Context, models: Path) -> Module:
    """The network with its places marked."""
    module = read_model(models / task.model)
    passes = [*build_passes([("canonicalise", {})]), FindExits()]
    Pipeline(passes).run(module, ctx)
    return module


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", help="variants whose name contains this")
    parser.add_argument("--cache", type=Path, default=REPO / "build" / "cache-heads")
    parser.add_argument("--data", type=Path, default=REPO.parent / "shared" / "data")
    given = parser.parse_args(arguments)
    register()
    for name in given.tasks:
        task = TASKS[name]
        ctx = Context(data=splits_of(task, 5000 if given.quick else None), cache=Cache(given.cache))
        base = prepared(task, ctx, given.data / "models")
        samples = [len(split) for split in (ctx.data.train, ctx.data.calibration, ctx.data.test) if split is not None]
        print(f"\n{name}: {samples[0]} train, {samples[1]} calibration, {samples[2]} test samples")
        print("variant | saved on calibration at .5 / 1 / 3 points | on test | accuracy per exit and base | seconds")
        for label, insert, train in VARIANTS:
            if given.only and given.only not in label:
                continue
            module = base.copy()
            began = time.perf_counter()
            replace(InsertExits(), **insert).run(module, ctx)
            replace(TrainExits(), **train).run(module, ctx)
            seconds = time.perf_counter() - began
            tables = score_tables(module, ctx)
            print(f"{label:24} | {judged(tables, task.balanced)} | {seconds:.1f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
