"""Real networks with random heads: the artefact against onnxruntime on the exit-free network."""

from pathlib import Path

import numpy as np
import pytest

from eennc.backends.onnx import OnnxBackend
from eennc.interop.onnx.execute import execute
from eennc.interop.onnx.reader import read_model
from eennc.interop.onnx.session import Session
from eennc.ir.cuts import all_scores, exits_of, without_exits
from eennc.passes import register
from eennc.passes.base import Context
from eennc.passes.exits.form_segments import FormSegments
from eennc.passes.pipeline import Pipeline, build_passes


@pytest.mark.real
@pytest.mark.parametrize("batch", [1, "free"])
@pytest.mark.parametrize(
    "name", ["dscnn_asc40", "ecg_cnn_aami5", "resnet20_cifar10jpegft", "mlperftiny_resnet8_cifar10", "vgg_fashion"]
)
def test_scores_and_exits(name: str, batch: int | str, shared_data: Path, tmp_path: Path) -> None:
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
    base = without_exits(module.main)
    FormSegments().run(module, Context())
    OnnxBackend(batch=batch).emit(module, base, tmp_path)
    session = Session(tmp_path / "model.onnx", threads=1)
    runs = [x] if batch == "free" else [x[i : i + 1] for i in range(len(x))]
    scores, exit = (np.concatenate(parts) for parts in zip(*(session.run(run) for run in runs), strict=True))
    assert len(set(wanted)) > 2
    np.testing.assert_array_equal(exit, wanted)
    expected = tables[wanted, np.arange(len(x))]
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
