"""Networks that come quantised, made by onnxruntime's own quantiser: they keep their scales."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime import quantization
from tiny_model import QUICK, images, model

import eennc
from eennc.data.splits import Split, Splits
from eennc.interop.onnx.reader import module_from_proto
from eennc.ir.interpreter import run_graph
from eennc.ir.values import Weight
from eennc.passes.base import Context
from eennc.passes.pipeline import Pipeline, build_passes
from eennc.passes.quantise.calibrate import Calibrate
from eennc.passes.quantise.quantize_int8 import QuantizeInt8
from eennc.plugins import load_plugins


class Reader(quantization.CalibrationDataReader):
    def __init__(self) -> None:
        self.samples = iter(images(100, 5)[0])

    def get_next(self):
        x = next(self.samples, None)
        return None if x is None else {"input": x[None]}


def qdq(folder, *, per_channel=True, activation=quantization.QuantType.QUInt8, weight=quantization.QuantType.QInt8):
    plain, path = folder / "plain.onnx", folder / "qdq.onnx"
    onnx.save(model(), str(plain))
    quantization.quantize_static(
        str(plain),
        str(path),
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=per_channel,
        activation_type=activation,
        weight_type=weight,
    )
    return onnx.load(str(path))


def parameters(proto: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}


load_plugins()
U8, I8 = quantization.QuantType.QUInt8, quantization.QuantType.QInt8


@pytest.mark.parametrize(
    ("per_channel", "activation", "weight"), [(True, U8, I8), (False, U8, I8), (True, I8, I8), (False, U8, U8)]
)
def test_scales_and_integers_are_kept(per_channel, activation, weight, tmp_path) -> None:
    proto = qdq(tmp_path, per_channel=per_channel, activation=activation, weight=weight)
    module = module_from_proto(proto, "tiny")
    x, _ = images(80, 9)
    (expected,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"input": x})
    # as it was read, before anything is done to it
    (read,) = run_graph(module, module.main, [x])
    step = np.ptp(expected) / 255
    assert np.abs(read - expected).max() < 1.01 * step
    Pipeline(build_passes([("canonicalise", {})])).run(module, Context())
    ctx = Context(data=Splits(calibration=Split("calibration", images(60, 3)[0])))
    Calibrate().run(module, ctx)
    QuantizeInt8().run(module, ctx)
    given = parameters(proto)
    scales = {array.item() for name, array in given.items() if "scale" in name and array.size == 1}
    for op in module.main.ops:
        assert np.float32(op.result.type.quant.scale) in scales
    weights = [op for op in module.main.ops if op.name in ("q.conv", "q.dense")]
    assert len(weights) == 3
    if weight is I8:
        integers = [array for array in given.values() if array.dtype == np.int8 and array.ndim > 1]
        for op, name in zip(weights, ("w1", "w2", "fc"), strict=True):
            wanted = given[f"{name}_quantized"]
            wanted = wanted.T if name == "fc" else wanted
            assert any(wanted.size == array.size for array in integers)
            assert isinstance(op.weight, Weight)
            np.testing.assert_array_equal(op.weight.array, wanted)
            own = given[f"{name}_scale"].reshape(-1)
            np.testing.assert_array_equal(op.scales.array, np.broadcast_to(own, op.scales.array.shape))
    (found,) = run_graph(module, module.main, [x])
    quant = module.main.returns[0].type.quant
    real = (found.astype(np.float32) - quant.zero_point) * quant.scale
    assert np.abs(real - expected).max() < (2.5 if weight is I8 else 4.5) * step
    assert (real.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.95


def test_weights_that_are_quantised_in_the_model(tmp_path) -> None:
    """As quantisation-aware training exports them: QuantizeLinear and DequantizeLinear behind a float weight."""
    proto = qdq(tmp_path)
    real = {tensor.name: tensor for tensor in model().graph.initializer}
    for name in ("w1", "w2"):
        (stored,) = [tensor for tensor in proto.graph.initializer if tensor.name == f"{name}_quantized"]
        proto.graph.initializer.remove(stored)
        proto.graph.initializer.append(real[name])
        inputs = [name, f"{name}_scale", f"{name}_zero_point"]
        proto.graph.node.insert(0, onnx.helper.make_node("QuantizeLinear", inputs, [f"{name}_quantized"], axis=0))
    module = module_from_proto(proto, "tiny")
    x, _ = images(20, 9)
    (expected,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"input": x})
    (read,) = run_graph(module, module.main, [x])
    assert np.abs(read - expected).max() < 1.01 * np.ptp(expected) / 255
    convs = [op for op in module.main.ops if op.name == "nn.conv"]
    assert all(len(op.notes["weight_scales"]) == len(op.weight.array) for op in convs)


def test_integers_that_two_scales_share() -> None:
    helper, tensor = onnx.helper, onnx.numpy_helper.from_array
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s1"], ["a"]),
        helper.make_node("DequantizeLinear", ["w", "s2"], ["b"]),
        helper.make_node("MatMul", ["input", "a"], ["c"]),
        helper.make_node("MatMul", ["c", "b"], ["output"]),
    ]
    weights = {"w": np.arange(9, dtype=np.int8).reshape(3, 3), "s1": np.float32(0.5), "s2": np.float32(2)}
    float32 = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "twice",
        [helper.make_tensor_value_info("input", float32, ["N", 3])],
        [helper.make_tensor_value_info("output", float32, ["N", 3])],
        [tensor(np.asarray(array), name) for name, array in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    module = module_from_proto(proto, "twice")
    x = np.eye(3, dtype=np.float32)
    (found,) = run_graph(module, module.main, [x])
    (expected,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"input": x})
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("backend", ["onnx", "tflite"])
@pytest.mark.parametrize("integers", [False, True])
def test_exits_in_a_quantised_network(backend, integers, tmp_path) -> None:
    """With and without quantize-int8: without, the network stays as it came and heads are floats."""
    proto = qdq(tmp_path)
    data = Splits(*(Split(name, *images(n, seed)) for name, n, seed in (("a", 300, 1), ("b", 120, 2), ("c", 150, 3))))
    passes = QUICK.replace("solve", "calibrate,quantize-int8,solve") if integers else QUICK
    compiled = eennc.compile(
        proto, passes=passes, data=data, backend=backend, output=tmp_path / "build", cache=tmp_path / "cache"
    )
    assert compiled.summary is not None
    session = eennc.load(tmp_path / "build")
    x, y = images(100, 11)
    (expected,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"input": x})
    base = session.base_scores(x)
    assert (base.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.95
    assert (session.predict(x).classes == y).mean() > 0.5
    names = {op.name for op in compiled.module.ops()}
    assert ("q.conv" in names) == integers


def test_integers_that_go_elsewhere_stay_in_onnx(tmp_path) -> None:
    """QuantizeLinear before another operator than DequantizeLinear is nothing that the IR has."""
    proto = qdq(tmp_path)
    for node in proto.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] == "input_QuantizeLinear_Output":
            node.input[0] = "input_same"
    at = next(i for i, node in enumerate(proto.graph.node) if node.op_type == "QuantizeLinear") + 1
    proto.graph.node.insert(at, onnx.helper.make_node("Identity", ["input_QuantizeLinear_Output"], ["input_same"]))
    module = module_from_proto(proto, "tiny")
    assert any(op.name == "onnx.opaque" for op in module.main.ops)
