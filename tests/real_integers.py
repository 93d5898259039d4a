"""Real networks in integers, with real samples and what the reference says of them."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from eennc.data.splits import Split, Splits
from eennc.interop.onnx.reader import read_model
from eennc.ir.cuts import all_evidence, exits_of
from eennc.ir.graph import Module
from eennc.ir.interpreter import run_graph, run_module
from eennc.passes import register
from eennc.passes.base import Context
from eennc.passes.pipeline import Pipeline, build_passes

EXITS = 3
SAMPLES = 1000
"""Of each network."""
NETWORKS = {
    "dscnn_asc40": ("speech", lambda x: x),
    "ecg_cnn_aami5": ("ecg", lambda x: x),
    "mlperftiny_resnet8_cifar10": ("cifar10", lambda x: x.astype(np.float32)),
}


@dataclass
class Built:
    """A quantised early-exit network, the samples and what the reference says of them."""

    module: Module
    x: np.ndarray
    scores: np.ndarray
    exit: np.ndarray


def data_of(task: str):
    path = Path(__file__).resolve().parents[1] / "examples" / task / "data.py"
    spec = importlib.util.spec_from_file_location(f"{task}_data", path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def samples_of(found) -> np.ndarray:
    return np.asarray(found["x"] if isinstance(found, dict) else found[0])


def build(name: str, shared_data: Path) -> Built:
    """Heads are not trained, thresholds are such that each exit, and the last, takes a quarter of the samples."""
    pytest.importorskip("PIL")
    register()
    task, convert = NETWORKS[name]
    data = data_of(task)
    module = read_model(shared_data / "models" / f"{name}.onnx")
    shape = module.main.arguments[0].type.shape[1:]
    calibration = convert(samples_of(data.calibration()))[:256].reshape(-1, *shape)
    test = samples_of(data.test())
    x = convert(test[np.linspace(0, len(test) - 1, SAMPLES).astype(int)]).reshape(-1, *shape)
    ctx = Context(data=Splits(calibration=Split("calibration", calibration)))
    passes = ("canonicalise", "find-exits", "insert-exits", "calibrate", "quantize-int8")
    Pipeline(build_passes([(p, {}) for p in passes])).run(module, ctx)
    exits = exits_of(module.main)
    evidence = run_graph(module, all_evidence(module.main), [x])[len(exits) + 1 :]
    chosen = np.linspace(0, len(exits) - 1, EXITS).astype(int)
    alive = np.ones(len(x), bool)
    for number in chosen:
        exit, left = exits[number], EXITS + 1 - list(chosen).index(number)
        confidence = exit.confidence(evidence[number])
        exit.attrs["threshold"] = float(np.quantile(confidence[alive], 1 - 1 / left))
        alive &= confidence < exit.threshold
    outcome = run_module(module, [x])
    taken = np.bincount(outcome.exit, minlength=len(exits) + 1) / len(x)
    assert (taken[[*chosen, -1]] >= 0.1).all()
    return Built(module, x, outcome.scores, outcome.exit)
