"""What int8 costs the base networks, paired against floats, by the defaults and with parts of them left out.

    python benchmarks/quantisation.py [--variants] [NETWORK ...]      # minutes; needs the data folder and Pillow

Ranges come from 512 training samples (of speech, ECG) or from images that are not in the test set; figures are on all
samples held out. Integers run in the reference arithmetic, floats in onnxruntime. The networks have no exits here:
what heads lose is in the report of each compilation.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eennc.data.splits import Split, Splits
from eennc.interop.onnx.reader import read_model
from eennc.passes import register
from eennc.passes.base import Context
from eennc.passes.execution import answers
from eennc.passes.fold_input import FoldInput
from eennc.passes.pipeline import Pipeline, build_passes
from eennc.policy.statistics import Metric, metric_weights, paired_loss, strata
from eennc.policy.table import ScoreTable
from eennc.support.instruments import Silent

REPO = Path(__file__).resolve().parent.parent
MODELS = REPO.parent / "shared" / "data" / "models"
PIXELS = FoldInput([123.675, 116.28, 103.53], [58.395, 57.12, 57.375], "uint8", "nhwc")
BYTES = FoldInput(0.0, 1.0, "uint8", "nhwc")
VARIANTS: Mapping[str, Sequence[tuple[str, Mapping[str, object]]]] = {
    "defaults": [("calibrate", {}), ("quantize-int8", {})],
    "observer percentile": [("calibrate", {"observer": "percentile"}), ("quantize-int8", {})],
    "observer mse": [("calibrate", {"observer": "mse"}), ("quantize-int8", {})],
    "no bias correction": [("calibrate", {}), ("quantize-int8", {"correct_bias": False})],
    "weights max": [("calibrate", {}), ("quantize-int8", {"weights": "max"})],
    "one scale a tensor": [("calibrate", {}), ("quantize-int8", {"per_channel": "none"})],
    "that, equalised": [("equalise", {}), ("calibrate", {}), ("quantize-int8", {"per_channel": "none"})],
    "equalised": [("equalise", {}), ("calibrate", {}), ("quantize-int8", {})],
}


@dataclass(frozen=True)
class Task:
    """A network, where its ranges come from, what it is tested on. `held_out` gives x, y and groups."""

    model: str
    ranges: Callable[[], Any]
    held_out: Callable[[], Sequence[Any]]
    metric: Metric = "accuracy"
    fold: FoldInput | None = None


def example(name: str) -> ModuleType:
    """The data functions of an example."""
    spec = importlib.util.spec_from_file_location(f"{name}_data", REPO / "examples" / name / "data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def joined(*parts: Mapping[str, NDArray[Any]]) -> Sequence[NDArray[Any]]:
    """x, y and groups of several splits behind each other."""
    return [np.concatenate([part[key] for part in parts]) for key in ("x", "y", "groups")]


def tasks() -> Mapping[str, Task]:
    """All networks."""
    speech, ecg, cifar = (example(name) for name in ("speech", "ecg", "cifar10"))

    def images() -> Any:
        return cifar._part("train_jpeg.npz", slice(45_000, 45_512))[0]

    def both() -> Sequence[Any]:
        (x, y), (x2, y2) = cifar.calibration(), cifar.test()
        return np.concatenate([x, x2]), np.concatenate([y, y2]), None

    return {
        "dscnn": Task("dscnn_asc40", lambda: speech.train()["x"], lambda: joined(speech.calibration(), speech.test())),
        "ecg": Task("ecg_cnn_aami5", lambda: ecg.train()["x"], lambda: joined(ecg.test()), "balanced-accuracy"),
        "resnet8": Task("mlperftiny_resnet8_cifar10", images, both, fold=BYTES),
        "resnet20": Task("resnet20_cifar10jpegft", images, both, fold=PIXELS),
        "resnet56": Task("resnet56_cifar10jpegft", images, both, fold=PIXELS),
    }


def measure(name: str, task: Task, variants: Sequence[str]) -> None:
    """Print a row for each variant."""
    x, y, groups = task.held_out()
    ctx = Context(data=Splits(calibration=Split("ranges", task.ranges())))
    plain = read_model(MODELS / f"{task.model}.onnx")
    Pipeline([*([task.fold] if task.fold else []), *build_passes([("canonicalise", {})])]).run(plain, ctx)
    found: dict[str, ScoreTable] = {}
    for variant in ("float", *variants):
        module = plain.copy()
        Pipeline(build_passes(VARIANTS.get(variant, []))).run(module, ctx)
        began = time.perf_counter()
        (scores,) = answers(module, module.main, x, Silent())
        seconds = time.perf_counter() - began
        table = found[variant] = ScoreTable(
            split="held out",
            scores=scores[None].astype(np.float32),
            labels=y,
            kind="logits",
            groups=groups,
            weights=None,
        )
        weights = metric_weights(table, task.metric)
        accuracy = float(weights @ table.correct[0])
        if variant == "float":
            continue
        before = found["float"]
        loss = paired_loss(before.correct[0], table.correct[0], weights, groups, strata(table, task.metric))
        best = np.sort(scores.astype(int), axis=1)[:, -2:]
        cells = [
            f"{name:<9} {variant:<20} {len(y):>6,}",
            f"{100 * float(weights @ before.correct[0]):6.2f} {100 * accuracy:6.2f}",
            f"{100 * loss.point:6.2f} [{100 * loss.lower:5.2f}, {100 * loss.upper:5.2f}]",
            f"{100 * float((before.scores.argmax(axis=2) == table.scores.argmax(axis=2)).mean()):6.1f}",
            f"{100 * float((best[:, 0] == best[:, 1]).mean()):5.1f} {seconds:6.0f}",
        ]
        print(*cells, flush=True)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help="all of them where none is given")
    parser.add_argument("--variants", action="store_true", help="not the defaults alone")
    options = parser.parse_args(arguments)
    register()
    known = tasks()
    unknown = set(options.networks) - set(known)
    if unknown:
        parser.error(f"no network is called {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    print(f"{'network':<30} {'n':>6} {'float':>6} {'int8':>6} {'loss, 95 %':>21} {'same':>6}  ties {'s':>6}")
    for name in options.networks or known:
        measure(name, known[name], list(VARIANTS) if options.variants else ["defaults"])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
