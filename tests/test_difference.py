"""eennc diff: what it finds, and what it says."""

import json

import numpy as np
import pytest
from tiny_model import QUICK, images, write_all

import eennc
from eennc.artifact import hash_files, read_manifest
from eennc.cli import main
from eennc.difference import difference
from eennc.ir.cuts import exit_free, exits_of
from eennc.ir.interpreter import run_graph, run_module, run_stream
from eennc.ir.rules import STREAM
from eennc.ir.text import load_module, save_module
from eennc.ir.values import Weight
from eennc.support.diagnostics import UserError
from eennc.support.instruments import Silent

INT8 = QUICK.replace("solve-thresholds", "calibrate,quantize-int8,solve-thresholds")
PATIENT = INT8.replace("solve-thresholds{limit=0.2}", "set-rule{rule=patience,threshold=2}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diff")
    write_all(folder)
    data = {name: str(folder / f"{name}.npz") for name in ("train", "calibration", "test")}
    for name, passes, backend in (
        ("int8", INT8, "tflite"),
        ("qdq", INT8, "onnx"),
        ("float", QUICK, "onnx"),
        ("patient", PATIENT, "tflite"),
    ):
        eennc.compile(
            folder / "model.onnx", passes=passes, backend=backend, data=data, output=folder / name, cache=folder / "c"
        )
    return folder


def found(folder, name="int8", n=100, limit=20.0):
    x, _ = images(n, 21)
    return difference(eennc.load(folder / name), folder / "model.onnx", x, limit=limit, progress=Silent()), x


@pytest.mark.parametrize("name", ["int8", "qdq", "patient"])
def test_layers_and_exits(folder, name) -> None:
    result, x = found(folder, name)
    floats, integers = (load_module(folder / name / f"{kind}.eir") for kind in ("float", "int8"))
    assert len(result.layers) == sum(op.name.startswith("q.") for op in integers.main.ops)
    # the second convolution, worked out apart
    conv = next(layer for layer in result.layers if layer.node == "/two/Conv")
    values = []
    for module in (floats, integers):
        op = [op for op in module.main.ops if op.origin.node == "/two/Conv"][-1]
        (value,) = run_graph(module, exit_free(module.main, [op.result]), [x])
        quant = op.result.type.quant
        values.append(value.astype(float) if quant is None else (value.astype(float) - quant.zero_point) * quant.scale)
    wanted = 10 * np.log10((values[0] ** 2).sum() / ((values[1] - values[0]) ** 2).sum())
    assert conv.signal_to_noise == pytest.approx(wanted, abs=0.01)
    assert conv.own is not None
    assert conv.own > conv.signal_to_noise - 1
    # exits: the float network by the rule and thresholds of the integer one
    for exit, last in zip(exits_of(floats.main), exits_of(integers.main), strict=True):
        exit.attrs.update(last.attrs)
    left = [run_module(module, [x]).exit for module in (floats, integers)]
    assert result.flips == (left[0] != left[1]).sum()
    for row in result.exits:
        assert row.float_share == pytest.approx((left[0] == row.exit).mean())
        assert row.int8_share == pytest.approx((left[1] == row.exit).mean())
    assert result.model > 80
    assert result.artefact_exits > 0.9
    assert result.artefact_classes > 0.9


def test_the_first_op_that_departs(folder, tmp_path) -> None:
    """One weight of the second convolution is another one."""
    result, _ = found(folder, limit=10.0)
    assert result.departs is None
    module = load_module(folder / "int8" / "int8.eir")
    conv = next(op for op in module.main.ops if op.origin.node == "/two/Conv")
    array = conv.weight.array.copy()
    array[0] = -array[0]
    conv.operands[1] = Weight(conv.weight.name, array)
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in (folder / "int8").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    save_module(module, copy / "int8.eir")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"] = hash_files(copy, manifest["files"])
    (copy / "manifest.json").write_text(json.dumps(manifest))
    x, _ = images(100, 21)
    broken = difference(eennc.load(copy), folder / "model.onnx", x, limit=10.0, progress=Silent())
    assert broken.departs is not None
    assert broken.layers[broken.departs].node == "/two/Conv"
    assert broken.artefact_classes < result.artefact_classes


def test_command(folder, capsys) -> None:
    arguments = ["diff", str(folder / "int8"), str(folder / "model.onnx"), "--data", str(folder / "test.npz")]
    assert main([*arguments, "--samples", "40"]) == 0
    text = capsys.readouterr().out
    assert "n = 40" in text
    assert "/two/Conv" in text
    assert "another exit: " in text
    assert main([*arguments, "--json", "-q"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["samples"] == 150
    assert {"node", "op", "signal_to_noise", "own"} == set(report["layers"][0])


def test_bad_use(folder, tmp_path) -> None:
    x, _ = images(5, 1)
    for name, model, message in (
        ("float", "model.onnx", "is not quantised"),
        ("int8", "nothing.onnx", "no such file"),
        ("int8", "train.npz", "not the model"),
    ):
        with pytest.raises(UserError, match=message):
            difference(eennc.load(folder / name), folder / model, x, limit=20, progress=Silent())
    assert "float.eir" not in read_manifest(folder / "float").files


def test_a_stream_is_one_sequence(folder) -> None:
    passes = INT8.replace("solve-thresholds{limit=0.2}", "solve-stream{limit=0.3,statistic=point}")
    data = {name: str(folder / f"{name}.npz") for name in ("train", "calibration", "test")}
    eennc.compile(folder / "model.onnx", passes=passes, data=data, output=folder / "stream", cache=folder / "c")
    integers = load_module(folder / "stream/int8.eir")
    assert {exit.rule for exit in exits_of(integers.main)} == {STREAM}
    x, y = images(90, 21)
    x = x[np.argsort(y, kind="stable")]
    result = difference(eennc.load(folder / "stream"), folder / "model.onnx", x, limit=20, progress=Silent())
    outcome = run_stream(integers, [x])
    assert len(set(outcome.exit)) > 1
    shares = np.bincount(outcome.exit, minlength=len(result.exits)) / len(x)
    assert [row.int8_share for row in result.exits] == pytest.approx(list(shares))
    assert result.artefact_exits > 0.9
