"""Real networks with random heads, and what onnxruntime says of them without exits."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eennc.interop.onnx.execute import execute
from eennc.interop.onnx.reader import read_model
from eennc.ir.cuts import all_scores, exits_of
from eennc.ir.graph import Module
from eennc.passes import register
from eennc.passes.base import Context
from eennc.passes.pipeline import Pipeline, build_passes

NETWORKS = ["dscnn_asc40", "ecg_cnn_aami5", "resnet20_cifar10jpegft", "mlperftiny_resnet8_cifar10", "vgg_fashion"]


@dataclass
class Known:
    """A network whose thresholds lie between samples; the samples; scores and exits as they should be."""

    module: Module
    x: np.ndarray
    scores: np.ndarray
    exit: np.ndarray

    def agrees(self, scores: np.ndarray, exit: np.ndarray) -> None:
        """The float contract of docs/architecture.md."""
        np.testing.assert_array_equal(exit, self.exit)
        np.testing.assert_allclose(scores, self.scores, rtol=0, atol=1e-4 * np.abs(self.scores).max())


def known(name: str, shared_data: Path) -> Known:
    register()
    module = read_model(shared_data / "models" / f"{name}.onnx")
    Pipeline(build_passes([("canonicalise", {}), ("find-exits", {}), ("insert-exits", {})])).run(module, Context())
    x = np.random.default_rng(0).normal(size=(24, *module.main.arguments[0].type.shape[1:])).astype(np.float32)
    tables = np.stack(execute(all_scores(module.main), x, threads=1))
    exits = exits_of(module.main)
    wanted = np.full(len(x), len(exits))
    for exit, scores in zip(exits, tables, strict=False):
        confidence = exit.confidence(scores)
        alive = np.sort(confidence[wanted == len(exits)])
        # a third of those that are there leaves, by a threshold between two samples
        at = len(alive) - len(alive) // 3
        if at < len(alive):
            exit.attrs["threshold"] = float(alive[at - 1] + alive[at]) / 2
            wanted[(wanted == len(exits)) & (confidence >= exit.threshold)] = exit.exit
    assert len(set(wanted)) > 2
    return Known(module, x, tables[wanted, np.arange(len(x))], wanted)
