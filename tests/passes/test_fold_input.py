"""fold-input against the same preprocessing in numpy, in front of the untouched network."""

import numpy as np
import pytest

from eennc.ir.graph import Graph, Module
from eennc.ir.interpreter import run_graph
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.flatten import Flatten
from eennc.ir.ops.global_average_pool import GlobalAveragePool
from eennc.ir.ops.relu import Relu
from eennc.ir.ops.transpose import Transpose
from eennc.ir.types import TensorType
from eennc.ir.values import Argument, Value, Weight
from eennc.ir.verifier import verify
from eennc.passes.base import Context
from eennc.passes.fold_input import FoldInput
from eennc.support.diagnostics import UserError

RANDOM = np.random.default_rng(0)


def weight(name: str, *shape: int) -> Weight:
    return Weight(name, RANDOM.normal(size=shape).astype(np.float32))


def conv_network(channels: int = 3, *, pads=(1, 1, 1, 1), bias: bool = True, groups: int = 1, last: bool = False):
    shape = ("N", 8, 6, channels) if last else ("N", channels, 8, 6)
    main = Graph("main", [Argument("x", TensorType(shape))])
    x: Value = main.arguments[0]
    if last:
        x = main.add(Transpose(x=x, perm=(0, 3, 1, 2))).result
    kernel = weight("w", 4 * groups, channels // groups, 3, 3)
    conv = Conv(x=x, weight=kernel, bias=weight("b", 4 * groups) if bias else None, pads=pads, groups=groups)
    pooled = main.add(GlobalAveragePool(x=main.add(Relu(x=main.add(conv).result)).result)).result
    flat = main.add(Flatten(x=pooled)).result
    main.returns = [main.add(Dense(x=flat, weight=weight("fc", 5, 4 * groups))).result]
    return Module("net", main)


def dense_network():
    main = Graph("main", [Argument("x", TensorType(("N", 2, 4, 3)))])
    flat = main.add(Flatten(x=main.arguments[0])).result
    main.returns = [main.add(Dense(x=flat, weight=weight("fc", 5, 24))).result]
    return Module("net", main)


def answers(module: Module, x: np.ndarray) -> np.ndarray:
    return run_graph(module, module.main, [x])[0]


def check(module: Module, p: FoldInput, data: np.ndarray, normalised: np.ndarray) -> Module:
    """`normalised` is what numpy makes of the data for the untouched network."""
    changed = module.copy()
    assert p.run(changed, Context())
    verify(changed)
    assert changed.main.arguments[0].type == p.data_type(module.main)
    assert changed.main.arguments[0].type.accepts(data)
    expected = answers(module, normalised.astype(np.float32))
    np.testing.assert_allclose(answers(changed, data), expected, atol=2e-5 * np.abs(expected).max())
    return changed


def names(module: Module) -> list[str]:
    return [op.name.removeprefix("nn.") for op in module.main.ops]


MEAN, STD = (120.0, 110.5, 98.25), (58.0, 57.0, 61.5)
BYTES = RANDOM.integers(0, 256, (4, 3, 8, 6), np.uint8)
NORMALISED = (BYTES - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))


def test_mean_and_std_go_into_a_convolution_without_padding():
    changed = check(conv_network(pads=()), FoldInput(MEAN, STD, "uint8"), BYTES, NORMALISED)
    assert names(changed)[:2] == ["cast", "conv"]


def test_the_mean_stays_before_a_convolution_that_pads():
    changed = check(conv_network(), FoldInput(MEAN, STD, "uint8"), BYTES, NORMALISED)
    assert names(changed)[:3] == ["cast", "sub", "conv"]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("groups", [1, 3])
def test_groups_and_biases(bias, groups):
    check(conv_network(pads=(), bias=bias, groups=groups), FoldInput(MEAN, STD, "uint8"), BYTES, NORMALISED)


def test_channels_last_data():
    data = np.ascontiguousarray(BYTES.transpose(0, 2, 3, 1))
    changed = check(conv_network(), FoldInput(MEAN, STD, "uint8", "nhwc"), data, NORMALISED)
    assert names(changed)[:4] == ["transpose", "cast", "sub", "conv"]


def test_a_model_that_takes_channels_last():
    module = conv_network(last=True)
    data = np.ascontiguousarray(BYTES.transpose(0, 2, 3, 1))
    normalised = NORMALISED.transpose(0, 2, 3, 1)
    for layout in (None, "nhwc"):
        changed = check(module, FoldInput(MEAN, STD, "uint8", layout), data, normalised)
        assert names(changed)[:4] == ["cast", "sub", "div", "transpose"]
    check(module, FoldInput(MEAN, STD, "uint8", "nchw"), BYTES, normalised)


@pytest.mark.parametrize("last", [False, True])
def test_images_without_a_channel_axis(last):
    grey = BYTES[:, 0]
    p = FoldInput(70, 90.0, "uint8", "nhw")
    check(conv_network(1, last=last), p, grey, np.expand_dims((grey - 70.0) / 90, 3 if last else 1))


def test_a_dense_network():
    data = RANDOM.normal(10, 5, (4, 2, 4, 3)).astype(np.float16)
    mean, std = np.reshape([9.0, 11.0], (2, 1, 1)), np.reshape([4.0, 6.0], (2, 1, 1))
    normalised = (data.astype(np.float32) - mean) / std
    changed = check(dense_network(), FoldInput((9.0, 11.0), (4.0, 6.0), "float16"), data, normalised)
    assert names(changed) == ["cast", "flatten", "dense"]


def test_only_the_scale():
    changed = check(conv_network(), FoldInput(std=255.0), BYTES.astype(np.float32), BYTES / 255)
    assert names(changed)[0] == "conv"


def test_an_input_with_two_users_keeps_its_arithmetic():
    module = conv_network(pads=())
    (x,) = module.main.arguments
    second = module.main.add(GlobalAveragePool(x=x)).result
    second = module.main.add(Dense(x=module.main.add(Flatten(x=second)).result, weight=weight("v", 5, 3))).result
    module.main.returns.append(second)
    changed = check(module, FoldInput(MEAN, STD, "uint8"), BYTES, NORMALISED)
    assert names(changed)[:3] == ["cast", "sub", "div"]


def test_nothing_to_do():
    module = conv_network()
    assert not FoldInput(dtype="float32", layout="nchw").run(module, Context())
    assert names(module)[0] == "conv"


@pytest.mark.parametrize(
    ("p", "message"),
    [
        (FoldInput(mean=(1.0, 2.0)), "mean has 2 numbers for 3 channels"),
        (FoldInput(layout="ncw"), "layout ncw does not fit"),
        (FoldInput(layout="nhw"), "layout nhw does not fit"),
    ],
)
def test_what_does_not_fit(p, message):
    with pytest.raises(UserError, match=message):
        p.run(conv_network(), Context())


def test_a_std_of_zero_is_refused():
    with pytest.raises(ValueError, match="std must be finite and above 0"):
        FoldInput(std=(1.0, 0.0))
