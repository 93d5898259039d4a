"""calibrate and quantize-int8 against the float network and against numbers worked out by hand."""

import numpy as np
import pytest
from random_eenns import eenn, samples
from tiny_model import images, model

from eennc.data.splits import Split, Splits
from eennc.interop.onnx.reader import module_from_proto
from eennc.ir.cuts import all_evidence, exit_free, exits_of
from eennc.ir.graph import Graph, Module
from eennc.ir.interpreter import run_graph, run_module
from eennc.ir.ops.add import Add
from eennc.ir.ops.average_pool import AveragePool
from eennc.ir.ops.batch_norm import BatchNorm
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.div import Div
from eennc.ir.ops.mul import Mul
from eennc.ir.ops.opaque import Opaque
from eennc.ir.ops.relu import Relu
from eennc.ir.ops.sub import Sub
from eennc.ir.types import DType, TensorType
from eennc.ir.values import Argument, Weight
from eennc.ir.verifier import verify
from eennc.passes.base import Context
from eennc.passes.quantise.calibrate import Calibrate
from eennc.passes.quantise.observers import Histogram, mean_squared_error, percentile
from eennc.passes.quantise.parameters import activation_quant, quantised_weight
from eennc.passes.quantise.quantize_int8 import QuantizeInt8
from eennc.support.diagnostics import UserError
from eennc.support.instruments import Silent


class Warnings(Silent):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def warn(self, text: str) -> None:
        self.texts.append(text)


def context(x: np.ndarray) -> Context:
    return Context(data=Splits(calibration=Split("calibration", x)), progress=Warnings())


def quantised(module: Module, x: np.ndarray, **options) -> Module:
    ctx = context(x)
    assert Calibrate().run(module, ctx)
    assert not Calibrate().run(module, ctx)
    assert QuantizeInt8(**options).run(module, ctx)
    verify(module)
    assert not QuantizeInt8(**options).run(module, ctx)
    return module


def real(array: np.ndarray, type: TensorType) -> np.ndarray:
    assert type.quant is not None
    return (array.astype(np.float64) - type.quant.zero_point) * type.quant.scale


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
@pytest.mark.parametrize("dims", [1, 2])
def test_an_integer_network_answers_nearly_as_the_float_one(dims: int, kind: str) -> None:
    module = eenn(1, 2, dims=dims, kind=kind)
    x = samples(64, dims)
    expected = run_graph(module, all_evidence(module.main), [x])
    integers = quantised(module.copy(), x)
    found = run_graph(integers, all_evidence(integers.main), [x])
    exits = len(exits_of(module.main))
    for k in range(exits + 1):
        assert found[k].dtype == np.int8
        answer = real(found[k], integers.main.returns[0].type)
        span = np.ptp(expected[k])
        assert np.abs(answer - expected[k]).max() < 0.06 * span
        assert np.abs(answer - expected[k]).mean() < 0.012 * span
    assert (found[exits].argmax(axis=1) == expected[exits].argmax(axis=1)).mean() > 0.9
    for exit in exits_of(integers.main):
        assert exit.rule == "margin"
        assert exit.threshold == np.inf
        assert exit.scores.type == integers.main.returns[0].type
        assert exit.evidence_kind == "logits"
    assert len({exit.evidence.type.quant for exit in exits_of(integers.main)}) == 1


def test_exits_fire_on_integers() -> None:
    module = quantised(eenn(1, 2), samples(64))
    x = samples(64)
    evidence = run_graph(module, all_evidence(module.main), [x])[3:]
    wanted = np.full(len(x), 2)
    for exit, scores in zip(exits_of(module.main), evidence, strict=True):
        ordered = np.sort(scores.astype(int), axis=1)
        lead = ordered[:, -1] - ordered[:, -2]
        exit.attrs["threshold"] = float((np.median(lead) - 0.5) * exit.unit / exit.temperature)
        assert exit.levels() == np.ceil(np.median(lead) - 0.5)
        wanted[(wanted == 2) & (lead >= exit.levels())] = exit.exit
    np.testing.assert_array_equal(run_module(module, [x]).exit, wanted)


def test_a_model_from_onnx_with_bytes_as_input() -> None:
    """Casts and shifts of the input stay in floats; what follows is in integers."""
    from eennc.passes.fold_input import FoldInput
    from eennc.passes.pipeline import Pipeline, build_passes

    module = module_from_proto(model(), "tiny")
    raw, labels = images(200, 3)
    bytes_ = np.clip(raw * 20 + 128, 0, 255).astype(np.uint8)
    passes = [FoldInput(128.0, 20.0, "uint8"), *build_passes([("canonicalise", {})])]
    Pipeline(passes).run(module, context(bytes_))
    (expected,) = run_graph(module, module.main, [bytes_])
    integers = quantised(module, bytes_)
    assert integers.main.arguments[0].type.dtype is DType.U8
    (found,) = run_graph(integers, integers.main, [bytes_])
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.97
    assert (found.argmax(axis=1) == labels).mean() > 0.5


def test_ranges_are_those_of_the_values() -> None:
    module = eenn(2, 1)
    x = samples(40)
    Calibrate(samples=40).run(module, context(x))
    assert module.attributes["input_range"] == (float(x.min()), float(x.max()))
    values = [op.results[0] for op in module.main.ops if op.name != "ee.exit"]
    graph = Graph("all", module.main.arguments, module.main.ops, values)
    for op in exits_of(module.main):
        op.attrs["threshold"] = np.inf
    arrays = run_graph(module, exit_free(module.main, graph.returns), [x])
    logits = {*(op.scores for op in exits_of(module.main)), *module.main.returns}
    assert logits <= set(values)
    clipped = False
    for value, array in zip(values, arrays, strict=True):
        if value in logits:
            # what is exp(-7) of the probability in all does not count
            away = array.max(axis=1, keepdims=True) - array > 7 + np.log(array.shape[1])
            clipped |= bool(away.any())
            array = np.where(away, array.max(axis=1, keepdims=True) - 7 - np.log(array.shape[1]), array)
        low, high = value.op.notes["range"]
        assert low == pytest.approx(min(array.min(), 0), rel=1e-4, abs=1e-5)
        assert high == pytest.approx(max(array.max(), 0), rel=1e-4, abs=1e-5)
    assert clipped


def test_observers() -> None:
    values = np.concatenate([np.random.default_rng(0).normal(size=100_000), [40.0]]).astype(np.float32)
    histogram = Histogram.empty(float(values.min()), float(values.max()))
    for part in np.array_split(values, 7):
        histogram.add(part)
    assert histogram.counts.sum() == len(values)
    low, high = percentile(0.999)(histogram)
    assert low == pytest.approx(np.quantile(values, 0.001), abs=0.05)
    assert high == pytest.approx(np.quantile(values, 0.999), abs=0.05)
    low, high = mean_squared_error(histogram)
    assert high < 40

    def error(low: float, high: float) -> float:
        step = (high - low) / 255
        return float(np.square(np.clip(np.rint((values - low) / step), 0, 255) * step + low - values).mean())

    assert error(low, high) < error(float(values.min()), 40.0)


def test_parameters_by_hand() -> None:
    assert activation_quant((0.0, 2.55)).zero_point == -128
    assert activation_quant((-1.27, 1.28)).zero_point == -1
    x, y = activation_quant((-1.27, 1.28)), activation_quant((0.0, 2.55))
    weight = np.array([[1.27, -0.5], [0.0099, 0.02]], np.float32)
    bias = np.array([0.5, -0.25], np.float32)
    each = quantised_weight(weight, bias, x, y, per_output=True, moments=None, correct=False)
    assert each.weight.tolist() == [[127, -50], [63, 127]]
    assert each.scales == pytest.approx([0.01, 0.02 / 127])
    assert each.bias.tolist() == [5000, round(-0.25 / (0.01 * 0.02 / 127))]
    one = quantised_weight(weight, bias, x, y, per_output=False, moments=None, correct=False)
    assert one.weight.tolist() == [[127, -50], [1, 2]]
    assert one.scales == pytest.approx([0.01])


def test_a_huge_bias_makes_its_channel_coarser() -> None:
    x, y = activation_quant((0.0, 2.55)), activation_quant((0.0, 1000.0))
    weight, bias = np.full((2, 1), 1e-6, np.float32), np.array([900.0, 0.0], np.float32)
    found = quantised_weight(weight, bias, x, y, per_output=True, moments=None, correct=False)
    assert abs(found.bias[0]) <= 2**30 + 2**10
    assert found.bias[0] * found.scales[0] * x.scale == pytest.approx(900, rel=1e-3)


def test_weights_for_inputs_that_hardly_vary_do_not_set_the_scale() -> None:
    """One input is constant but for noise, and has a weight a hundred times the others'."""
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 8)).astype(np.float32)
    x[:, 0] = 0.5 + 1e-4 * random.normal(size=400)
    weight = random.normal(size=(5, 8)).astype(np.float32)
    weight[:, 0] *= 100
    argument = Argument("x", TensorType(("N", 8)))
    op = Dense(x=argument, weight=Weight("w", weight), bias=Weight("b", np.zeros(5, np.float32)))
    losses = {}
    for weights in ("mse", "max"):
        module = Module("dense", Graph("main", [argument], [op], [op.result])).copy()
        expected = run_graph(module, module.main, [x])[0]
        integers = quantised(module, x, weights=weights)
        (found,) = run_graph(integers, integers.main, [x])
        type = integers.main.returns[0].type
        # logits far behind the largest are clipped
        expected = np.maximum(expected, real(np.array(-128), type))
        losses[weights] = np.abs(real(found, type) - expected).mean()
    assert losses["mse"] < 0.5 * losses["max"]


def one_op(op_of) -> Module:
    x = Argument("x", TensorType(("N", 3, 6, 6)))
    conv = Conv(x=x, weight=Weight("w", np.ones((3, 3, 1, 1), np.float32)))
    op = op_of(conv.result)
    return Module("net", Graph("main", [x], [conv, op], [op.results[0]]))


def batch_norm(v):
    return BatchNorm(
        x=v, **{name: Weight(name, np.ones(3, np.float32)) for name in ("scale", "bias", "mean", "variance")}
    )


@pytest.mark.parametrize(
    ("op_of", "message"),
    [
        (lambda v: Add(a=v, b=Weight("c", np.ones((6, 6), np.float32))), "nn.add has no form in integers: it is no"),
        (lambda v: Conv(x=v, weight=Weight("v", np.full((1, 3, 1, 1), np.inf, np.float32))), "NaN or infinity"),
        (lambda v: Opaque(operands_in=[v], op_type="Relu", node=b"", names=[], types=[v.type]), None),
    ],
)
def test_what_has_no_form_is_refused(op_of, message) -> None:
    module = one_op(op_of)
    for op in module.main.ops:
        op.notes["range"] = (-1.0, 1.0)
    module.attributes["input_range"] = (-1.0, 1.0)
    with pytest.raises(UserError) as error:
        QuantizeInt8(weights="max").run(module, Context())
    assert (message or "ONNX Relu has no form in integers") in error.value.message
    with pytest.raises(UserError) as early:
        QuantizeInt8().preview(one_op(op_of))
    assert early.value.message == error.value.message


@pytest.mark.parametrize(
    ("op_of", "largest"),
    [
        (batch_norm, 1),
        (lambda v: Add(a=v, b=Weight("c", np.array([[[-3]], [[0]], [[0.1]]], np.float32))), 1),
        (lambda v: Sub(a=Weight("c", np.array(1.5, np.float32)), b=v), 1),
        (lambda v: Mul(a=v, b=Weight("c", np.array([[[-30]], [[1]], [[0.1]]], np.float32))), 30),
        (lambda v: Div(a=v, b=Weight("c", np.array([[[-0.1]], [[1]], [[10]]], np.float32))), 10),
    ],
)
@pytest.mark.parametrize("relu", [False, True])
def test_a_factor_and_a_shift_per_channel(op_of, largest, relu) -> None:
    """Between layers, where it cannot be folded: behind a ReLU."""
    x = Argument("x", TensorType(("N", 3, 6, 6)))
    first = Relu(x=Conv(x=x, weight=Weight("w", np.eye(3, dtype=np.float32)[:, :, None, None])).result)
    middle = op_of(first.result)
    ops = [first.x.op, first, middle] + ([Relu(x=middle.result)] if relu else [])
    module = Module("net", Graph("main", [x], ops, [ops[-1].result]))
    feed = np.random.default_rng(0).normal(size=(40, 3, 6, 6)).astype(np.float32)
    (expected,) = run_graph(module, module.main, [feed])
    module.main.returns = [ops[-1].result]
    integers = quantised(module, feed)
    assert [op.name for op in integers.main.ops][-1] == "q.conv"
    values = exit_free(integers.main, [integers.main.ops[-1].result])
    (found,) = run_graph(integers, values, [feed])
    last = integers.main.ops[-1]
    type = last.result.type
    # what comes in is off by a step or so itself
    near = type.quant.scale + 1.6 * largest * last.x.type.quant.scale
    assert np.abs(real(found, type) - np.maximum(expected, real(np.array(-128), type))).max() < near


def test_an_average_that_counts_its_padding() -> None:
    module = one_op(
        lambda v: AveragePool(x=v, kernel=(3, 2), pads=(1, 1, 0, 1), strides=(2, 1), count_include_pad=True)
    )
    feed = np.random.default_rng(0).normal(size=(40, 3, 6, 6)).astype(np.float32)
    (expected,) = run_graph(module, module.main, [feed])
    integers = quantised(module, feed)
    last = integers.main.ops[-1]
    (found,) = run_graph(integers, exit_free(integers.main, [last.result]), [feed])
    step = last.result.type.quant.scale
    lowest = real(np.array(-128), last.result.type)
    assert np.abs(real(found, last.result.type) - np.maximum(expected, lowest)).max() < 2.1 * step


def test_bad_calibration_data() -> None:
    x = samples(8)
    with pytest.raises(UserError, match="all samples of the calibration data are the same"):
        Calibrate().run(eenn(1, 1), context(np.repeat(x[:1], 5, axis=0)))
    broken = one_op(lambda v: Conv(x=v, weight=Weight("v", np.full((1, 3, 1, 1), np.nan, np.float32))))
    with pytest.raises(UserError, match="gives NaN or infinity"):
        Calibrate().run(broken, context(np.random.default_rng(0).normal(size=(4, 3, 6, 6)).astype(np.float32)))
    with pytest.raises(UserError, match="range of the input is not known"):
        QuantizeInt8().run(eenn(1, 1), context(x))


def test_a_value_that_never_varies_is_warned_of_and_safe() -> None:
    module = one_op(lambda v: Relu(x=Conv(x=v, weight=Weight("v", np.zeros((2, 3, 1, 1), np.float32))).result))
    relu = module.main.ops[-1]
    module.main.ops.insert(1, relu.x.op)
    ctx = context(np.random.default_rng(0).normal(size=(4, 3, 6, 6)).astype(np.float32))
    Calibrate().run(module, ctx)
    assert any("one value for all samples: nn.conv, nn.relu" in text for text in ctx.progress.texts)
    QuantizeInt8().run(module, ctx)
    (found,) = run_graph(module, module.main, [ctx.data.calibration.x])
    assert (real(found, module.main.returns[0].type) == 0).all()


def test_another_observer_is_another_range() -> None:
    module, x = eenn(1, 1), samples(64)
    ctx = context(x)
    found = []
    for observer in ("minmax", "percentile", "mse"):
        Calibrate(observer=observer, percentile=0.99).run(module, ctx)
        found.append([op.notes.get("range") for op in module.main.ops])
    assert found[0] != found[1] != found[2]
    wider = [a[1] >= b[1] for a, b in zip(found[0], found[1], strict=True) if a]
    assert all(wider)
