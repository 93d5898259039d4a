"""Whole networks in and out, against the source model in onnxruntime (float contract: 1e-4 of the largest output)."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from light_models import FOLDER, NAMES, seeded

from eennc.interop.onnx.execute import execute
from eennc.interop.onnx.reader import module_from_proto, read_model
from eennc.interop.onnx.session import Session
from eennc.interop.onnx.writer import plain_model
from eennc.ir.parser import parse_module
from eennc.ir.printer import print_module
from eennc.ir.types import Array
from eennc.ir.verifier import verify

REAL = [
    "arm_ds_cnn_s_gsc12",
    "dscnn_asc40",
    "ecg_cnn_aami5",
    "kws_ref_dscnn",
    "mlperftiny_resnet8_cifar10",
    "resnet20_cifar10jpegft",
    "resnet56_cifar10jpegft",
    "vgg_fashion",
]
LARGE = {"light_vgg19", "light_bvlc_alexnet", "light_zfnet512"}
OPAQUE = {"light_bvlc_alexnet": {"LRN"}, "light_inception_v1": {"LRN"}, "light_zfnet512": {"LRN"}}


def error(found: Array, expected: Array) -> float:
    """The float contract's measure."""
    assert found.shape == expected.shape
    assert np.isfinite(expected).all()
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.real
@pytest.mark.parametrize("name", REAL)
def test_a_real_model_goes_in_and_out(name: str, shared_data: Path) -> None:
    path = shared_data / "models" / f"{name}.onnx"
    module = read_model(path)
    verify(module)
    assert not [op for op in module.ops() if op.name == "onnx.opaque"]
    assert "batch" not in module.attributes
    assert all(op.origin.source == path.name and op.origin.node for op in module.ops())
    (argument,) = module.main.arguments
    assert argument.name == "input"
    assert module.main.returns[0].type.shape[0] == "N"
    x = np.random.default_rng(0).standard_normal((5, *argument.type.concrete()[1:])).astype(np.float32)
    (expected,) = Session(path, threads=1).run(x)
    model = plain_model(module.main, outputs=["scores"], name=name)
    assert error(Session(model, threads=1).run(x)[0], expected) <= 1e-4
    assert error(execute(module.main, x, batch=2, threads=1)[0], expected) <= 1e-4
    again = plain_model(read_model(path).main, outputs=["scores"], name=name)
    assert again.SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True)


@pytest.mark.real
def test_a_real_model_survives_the_text_form(shared_data: Path) -> None:
    module = read_model(shared_data / "models" / "resnet20_cifar10jpegft.onnx")
    weights = {weight.name: weight.array for weight in module.weights()}
    parsed = parse_module(print_module(module, origins=True), weights)
    assert parsed.fingerprint() == module.fingerprint()


@pytest.mark.parametrize("name", NAMES)
def test_a_light_model_goes_in_and_out(name: str) -> None:
    source = seeded(name)
    random = np.random.default_rng(1)
    shape = (1, 3, 224, 224)
    x = np.concatenate([random.standard_normal(shape, np.float32), random.uniform(0, 2, shape).astype(np.float32)])
    session = Session(source, threads=1)
    expected = [session.run(x[i : i + 1])[0] for i in range(2)]
    del session
    # ten times the tolerance: agreement on a constant would say nothing
    assert error(expected[0], expected[1]) > 1e-3
    module = module_from_proto(source, name)
    del source
    verify(module)
    assert module.attributes == {"batch": 1}
    assert {op.attrs["op_type"] for op in module.ops() if op.name == "onnx.opaque"} == OPAQUE.get(name, set())
    if name in LARGE:
        # as a whole model in memory these take seconds to copy
        (found,) = execute(module.main, x, threads=1)
    else:
        session = Session(plain_model(module.main, outputs=["scores"], name=name), threads=1)
        found = np.concatenate([session.run(x[i : i + 1])[0] for i in range(2)])
    assert error(found, np.concatenate(expected)) <= 1e-4


def test_light_models_as_shipped_are_read_too() -> None:
    module = module_from_proto(onnx.load(FOLDER / "light_squeezenet.onnx"), "squeezenet")
    verify(module)
    # their weights are computed by nodes, so no convolution has constant ones
    assert {op.attrs["op_type"] for op in module.ops() if op.name == "onnx.opaque"} == {"Conv"}
    x = np.zeros((1, 3, 224, 224), np.float32)
    model = plain_model(module.main, outputs=["scores"], name="squeezenet")
    (expected,) = Session(FOLDER / "light_squeezenet.onnx", threads=1).run(x)
    assert error(Session(model, threads=1).run(x)[0], expected) <= 1e-4
