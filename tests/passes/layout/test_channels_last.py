"""channels-last: the same answers, no transpose inside, every map with two spatial axes and its channels at the end."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from pass_equivalence import inputs_for
from random_eenns import eenn, samples
from random_networks import networks

from eennc.data.splits import Split, Splits
from eennc.interop.onnx.execute import execute
from eennc.interop.onnx.reader import read_model
from eennc.ir.cuts import all_scores
from eennc.ir.graph import Graph, Module
from eennc.ir.interpreter import run_graph, run_module
from eennc.ir.ops.add import Add
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.flatten import Flatten
from eennc.ir.ops.pad import Pad
from eennc.ir.ops.reduce_mean import ReduceMean
from eennc.ir.ops.relu import Relu
from eennc.ir.ops.slice import Slice
from eennc.ir.ops.softmax import Softmax
from eennc.ir.ops.transpose import Transpose
from eennc.ir.types import Layout, TensorType
from eennc.ir.values import Argument, Weight
from eennc.ir.verifier import verify
from eennc.passes.base import Context
from eennc.passes.fold_input import FoldInput
from eennc.passes.layout.channels_last import ChannelsLast
from eennc.passes.pipeline import Pipeline, build_passes
from eennc.passes.quantise.calibrate import Calibrate
from eennc.passes.quantise.quantize_int8 import QuantizeInt8

REPO = Path(__file__).resolve().parents[3]
MODELS = REPO.parent / "shared/data/models"


def transposes(module: Module) -> int:
    return sum(isinstance(op, Transpose) for op in module.ops())


def converted(module: Module) -> Module:
    copy = module.copy()
    macs = sum(op.macs() for op in module.ops())
    assert ChannelsLast().run(copy, Context())
    verify(copy)
    assert not ChannelsLast().run(copy, Context())
    assert sum(op.macs() for op in copy.ops()) == macs
    for op in copy.ops():
        for value in (*op.inputs, *op.results):
            assert value.type.layout is not Layout.CHANNELS_LAST or value.type.rank == 4
    return copy


def close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * max(1.0, float(np.abs(expected).max())))


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
@pytest.mark.parametrize("dims", [1, 2])
def test_exits(dims: int, kind: str) -> None:
    module = eenn(1, 2, dims=dims, kind=kind)
    copy, x = converted(module), samples(32, dims)
    assert transposes(copy) == 1
    expected, found = run_module(module, [x]), run_module(copy, [x])
    np.testing.assert_array_equal(found.exit, expected.exit)
    close(found.scores, expected.scores)
    for one, other in zip(execute(all_scores(copy.main), x), execute(all_scores(module.main), x), strict=True):
        close(one, other)


@pytest.mark.parametrize("dims", [1, 2])
def test_integers_are_the_same_to_the_bit(dims: int) -> None:
    module, x = eenn(1, 2, dims=dims), samples(32, dims)
    ctx = Context(data=Splits(calibration=Split("calibration", x)))
    Calibrate().run(module, ctx)
    QuantizeInt8().run(module, ctx)
    copy = converted(module)
    assert transposes(copy) == 1
    for one, other in zip(
        run_graph(copy, all_scores(copy.main), [x]), run_graph(module, all_scores(module.main), [x]), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@settings(max_examples=40)
@given(networks())
def test_random_networks(module: Module) -> None:
    expected = run_graph(module, module.main, inputs_for(module))
    copy = module.copy()
    ChannelsLast().run(copy, Context())
    verify(copy)
    for one, other in zip(run_graph(copy, copy.main, inputs_for(copy)), expected, strict=True):
        close(one, other)


def network(*ops_of, shape=(3, 4, 5)) -> Module:
    """A convolution, then what the functions make of the last value."""
    x = Argument("x", TensorType(("N", *shape)))
    random = np.random.default_rng(0)
    graph = Graph("main", [x])
    value = graph.add(
        Conv(x=x, weight=Weight("w", random.normal(size=(4, shape[0], *[1] * (len(shape) - 1))).astype("f4")))
    ).result
    for op_of in ops_of:
        value = graph.add(op_of(value)).results[0]
    graph.returns = [value]
    return Module("net", graph)


def weight(*shape: int) -> Weight:
    return Weight(f"w{shape}", np.random.default_rng(1).normal(size=shape).astype(np.float32))


def reduced(*axes: int, keepdims: bool = True):
    return lambda v: ReduceMean(x=v, axes=axes, keepdims=keepdims)


def dense(inputs: int):
    return lambda v: Dense(x=v, weight=weight(3, inputs))


ROWS = [lambda v: Flatten(x=v), lambda v: Relu(x=v), dense(80)]
CUT = [lambda v: Slice(x=v, starts=(0, 1), ends=(4, 9), axes=(1, -1), steps=(2, 2))]
GROWN = [lambda v: Pad(x=v, pads=(0, 1, 0, 2, 0, 0, 3, 0)), lambda v: Softmax(x=v, axis=1)]
ALONG_THE_WIDTH = [lambda v: Softmax(x=v, axis=3), lambda v: Conv(x=v, weight=weight(2, 4, 1, 1))]


@pytest.mark.parametrize(
    ("ops_of", "inside"),
    [
        ([lambda v: Add(a=v, b=weight(4, 1, 1)), *ROWS], 0),
        ([lambda v: Add(a=weight(5), b=v), reduced(2, 3, keepdims=False)], 0),
        ([*CUT, reduced(2, 3)], 0),
        ([*GROWN], 1),
        # features in another order may not leave the network, nor be summed up along the width
        ([lambda v: Flatten(x=v)], 1),
        (ALONG_THE_WIDTH, 3),
        ([reduced(1)], 1),
    ],
)
def test_ops_between(ops_of, inside: int) -> None:
    module = network(*ops_of)
    (expected,) = run_graph(module, module.main, inputs_for(module))
    copy = converted(module)
    (found,) = run_graph(copy, copy.main, inputs_for(copy))
    close(found, expected)
    assert transposes(copy) == 1 + inside


def test_signals() -> None:
    module = network(
        lambda v: Pad(x=v, pads=(0, 1, 2, 0, 0, 1)),
        lambda v: Slice(x=v, starts=(1,), ends=(9,), axes=(2,), steps=(2,)),
        lambda v: Add(a=v, b=weight(5, 1)),
        lambda v: Conv(x=v, weight=weight(6, 5, 3), strides=(2,), pads=(1, 0), dilations=(1,)),
        lambda v: Flatten(x=v),
        dense(12),
        shape=(1, 9),
    )
    (expected,) = run_graph(module, module.main, inputs_for(module))
    copy = converted(module)
    assert transposes(copy) == 0
    (found,) = run_graph(copy, copy.main, inputs_for(copy))
    close(found, expected)
    assert all(op.result.type.shape[1] == 1 for op in copy.main.ops if isinstance(op, Conv))


def test_a_network_without_maps_stays() -> None:
    x = Argument("x", TensorType(("N", 4)))
    op = Dense(x=x, weight=weight(3, 4))
    assert not ChannelsLast().run(Module("rows", Graph("main", [x], [op], [op.result])), Context())


def test_images_whose_channels_are_last_need_no_transpose() -> None:
    module = network(lambda v: Flatten(x=v), lambda v: Dense(x=v, weight=weight(3, 80)))
    FoldInput(0.5, 2.0, layout="nhwc").run(module, Context())
    x = np.random.default_rng(3).normal(size=(6, 4, 5, 3)).astype(np.float32)
    (expected,) = run_graph(module, module.main, [x])
    copy = converted(module)
    assert transposes(copy) == 0
    (found,) = run_graph(copy, copy.main, [x])
    close(found, expected)


@pytest.mark.parametrize(
    ("path", "left"),
    [
        (REPO / "examples/quickstart/fashion.onnx", 0),
        pytest.param(MODELS / "dscnn_asc40.onnx", 0, marks=pytest.mark.real),
        pytest.param(MODELS / "ecg_cnn_aami5.onnx", 0, marks=pytest.mark.real),
        pytest.param(MODELS / "resnet20_cifar10jpegft.onnx", 1, marks=pytest.mark.real),
        pytest.param(MODELS / "mlperftiny_resnet8_cifar10.onnx", 1, marks=pytest.mark.real),
        pytest.param(MODELS / "kws_ref_dscnn.onnx", 0, marks=pytest.mark.real),
    ],
    ids=lambda value: value.stem if isinstance(value, Path) else "",
)
def test_real_networks(path: Path, left: int) -> None:
    if not path.exists():
        pytest.skip("the data folder ../shared/data is not there")
    module = read_model(path)
    Pipeline(build_passes([("canonicalise", {}), ("find-exits", {}), ("insert-exits", {})])).run(module, Context())
    copy = converted(module)
    assert transposes(copy) <= left
    x = np.random.default_rng(0).normal(size=(4, *module.main.arguments[0].type.shape[1:])).astype(np.float32)
    for one, other in zip(execute(all_scores(copy.main), x), execute(all_scores(module.main), x), strict=True):
        close(one, other)
