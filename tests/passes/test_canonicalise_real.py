"""Canonicalised real networks against onnxruntime on the source file."""

from pathlib import Path

import numpy as np
import pytest
from pass_equivalence import assert_same, inputs_for, run_honestly

from eennc.ir.interpreter import run_graph
from eennc.passes import register
from eennc.passes.base import PASSES, Context
from eennc.passes.pipeline import GROUPS, Pipeline, build_passes

register()

CANONICAL = {
    # file: ops left, by name
    "kws_ref_dscnn": {"conv": 9, "global_average_pool": 1, "reshape": 1, "dense": 1},
    "arm_ds_cnn_s_gsc12": {"conv": 9, "global_average_pool": 1, "reshape": 1, "dense": 1},
    "dscnn_asc40": {"conv": 9, "global_average_pool": 1, "reshape": 1, "dense": 1},
    "ecg_cnn_aami5": {"conv": 6, "global_average_pool": 1, "reshape": 1, "dense": 1},
    "mlperftiny_resnet8_cifar10": {
        "conv": 9, "add": 3, "relu": 3, "global_average_pool": 1, "reshape": 1, "dense": 1,
    },
    "resnet20_cifar10jpegft": {
        "conv": 19, "add": 9, "relu": 9, "slice": 4, "pad": 2, "global_average_pool": 1, "reshape": 1, "dense": 1,
    },
    "vgg_fashion": {"conv": 6, "reshape": 1, "dense": 2},
}  # fmt: skip


@pytest.mark.real
@pytest.mark.parametrize("name", CANONICAL)
def test_a_real_network_keeps_its_outputs(name: str, shared_data: Path):
    from eennc.interop.onnx.reader import read_model
    from eennc.interop.onnx.session import Session

    path = shared_data / "models" / f"{name}.onnx"
    module = read_model(path)
    inputs = inputs_for(module, batch=3)
    expected = Session(path).run(inputs[0])
    for p in (PASSES.get(each)() for each in GROUPS["canonicalise"]):
        run_honestly(p, module)
        assert_same(run_graph(module, module.main, inputs), expected)
    found = [op.name.removeprefix("nn.") for op in module.main.ops]
    assert {kind: found.count(kind) for kind in found} == CANONICAL[name]
    assert not Pipeline(build_passes([("canonicalise", {})])).run(module, Context())
    assert all(np.isfinite(weight.array).all() for weight in module.weights())
