"""The passes of `canonicalise`: same outputs, same exits, an honest changed flag, nothing left to do after one run."""

import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from pass_docstrings import snippet_module
from pass_equivalence import assert_same, inputs_for, outputs, run_honestly
from random_networks import networks

from eennc.ir.graph import Graph, Module
from eennc.ir.interpreter import run_module
from eennc.ir.ops.add import Add
from eennc.ir.ops.average_pool import AveragePool
from eennc.ir.ops.batch_norm import BatchNorm
from eennc.ir.ops.candidate import Candidate
from eennc.ir.ops.concat import Concat
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.exit import Exit
from eennc.ir.ops.relu import Relu
from eennc.ir.types import DType, Layout, TensorType
from eennc.ir.values import Argument, Weight
from eennc.ir.verifier import verify
from eennc.passes import register
from eennc.passes.base import PASSES, Context
from eennc.passes.pipeline import GROUPS, Pipeline, build_passes

register()
NAMES = GROUPS["canonicalise"]
FEW = settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


def places(module):
    return [op.place for op in module.main.ops if isinstance(op, (Candidate, Exit))]


@pytest.mark.parametrize("name", NAMES)
@FEW
@given(module=networks())
def test_a_pass_keeps_the_meaning(name, module):
    verify(module)
    original, marks = outputs(module), places(module)
    run_honestly(PASSES.get(name)(), module)
    verify(module)
    assert places(module) == marks
    assert_same(outputs(module), original)


@settings(FEW, max_examples=100)
@given(module=networks())
def test_the_group_keeps_the_meaning_and_leaves_nothing_to_do(module):
    original, marks = outputs(module), places(module)
    Pipeline(build_passes([("canonicalise", {})])).run(module, Context())
    assert places(module) == marks
    assert_same(outputs(module), original)
    assert all(result.type.known for op in module.main.ops for result in op.results)
    assert not {op.name for op in module.main.ops} & {"nn.identity", "nn.flatten", "shape.of", "shape.reshape"}


@FEW
@given(module=networks(exits=True))
def test_samples_leave_where_they_left(module):
    before = run_module(module, inputs_for(module, batch=8))
    Pipeline(build_passes([("canonicalise", {})])).run(module, Context())
    after = run_module(module, inputs_for(module, batch=8))
    near = np.isclose(before.scores, after.scores, rtol=1e-4, atol=1e-5).all(axis=1)
    assert (before.exit == after.exit)[near].all()
    assert near.all()


def run(name, text, **options):
    module = snippet_module(text)
    original = outputs(module)
    changed = run_honestly(PASSES.get(name)(**options), module)
    verify(module)
    assert_same(outputs(module), original)
    return changed, [op.name for op in module.main.ops], module


CONV_BN = """
argument %x : tensor<Nx3x8x8xf32>
weight @w : tensor<4x3x3x3xf32>
weight @c : tensor<4xf32>
%0 = nn.conv %x, @w {pads = [1, 1, 1, 1]ACT} : tensor<Nx4x8x8xf32>
%1 = nn.batch_norm %0, @c, @c, @c, @c : tensor<Nx4x8x8xf32>
"""


def test_batch_norm_stays_behind_an_activation_or_another_user():
    assert not run("fold-batchnorm", CONV_BN.replace("ACT", ", activation = relu"))[0]
    assert not run("fold-batchnorm", CONV_BN.replace("ACT", "") + "return %0, %1")[0]
    assert run("fold-batchnorm", CONV_BN.replace("ACT", ""))[1] == ["nn.conv"]


def test_batch_norm_is_kept_where_asked():
    text = CONV_BN.replace("ACT", "") + '%2 = nn.relu %1 : tensor<Nx4x8x8xf32> loc("m.onnx", "r")'
    text = text.replace("@c, @c, @c, @c : tensor<Nx4x8x8xf32>", '@c, @c, @c, @c : tensor<Nx4x8x8xf32> loc("m", "bn1")')
    assert not run("fold-batchnorm", text, keep=("bn*",))[0]
    assert run("fold-batchnorm", text, keep=("other",))[0]


@pytest.mark.parametrize(
    ("shape", "folds"),
    [
        ("", True),
        ("1x", True),
        ("4x1x1x", True),
        ("1x4x1x1x", True),
        ("8x", False),
        ("1x1x8x", False),
        ("4x8x8x", False),
    ],
)
@pytest.mark.parametrize("op", ["nn.add %0, @c", "nn.sub @c, %0", "nn.sub %0, @c", "nn.mul @c, %0", "nn.div %0, @c"])
def test_arithmetic_per_channel_is_folded(shape, folds, op):
    text = f"""
    argument %x : tensor<Nx3x8x8xf32>
    weight @w : tensor<4x3x1x1xf32>
    weight @c : tensor<{shape}f32>
    %0 = nn.conv %x, @w : tensor<Nx4x8x8xf32>
    %1 = {op} : tensor<Nx4x8x8xf32>
    """
    text = "\n".join(line.strip() for line in text.splitlines())
    changed, names, _ = run("fold-batchnorm", text)
    assert changed == folds
    assert (names == ["nn.conv"]) == folds
    assert not run("fold-batchnorm", text, constants=False)[0]


def test_a_constant_that_widens_the_result_is_not_folded():
    text = """
argument %x : tensor<Nx4xf32>
weight @w : tensor<1x4xf32>
weight @c : tensor<5xf32>
%0 = nn.dense %x, @w : tensor<Nx1xf32>
%1 = nn.add %0, @c : tensor<Nx5xf32>"""
    assert not run("fold-batchnorm", text)[0]


def test_origins_tell_which_passes_took_part():
    text = CONV_BN.replace("ACT", "") + "%2 = nn.relu %1 : tensor<Nx4x8x8xf32>"
    module = snippet_module(text.replace("1, 1]} : tensor<Nx4x8x8xf32>", '1, 1]} : tensor<Nx4x8x8xf32> loc("m", "c")'))
    Pipeline(build_passes([("canonicalise", {})])).run(module, Context())
    (op,) = module.main.ops
    assert (op.origin.source, op.origin.node) == ("m", "c")
    assert op.origin.passes == ("fold-batchnorm", "fuse-activation")


def test_constants_above_the_cap_are_left_alone():
    text = """
argument %x : tensor<Nx4xf32>
%0 = nn.fill {shape = [4]} : tensor<4xf32>
%1 = nn.add %x, %0 : tensor<Nx4xf32>"""
    assert not run("fold-constants", text, largest=15)[0]
    assert run("fold-constants", text, largest=16)[1] == ["nn.add"]


def test_weights_of_heads_are_not_merged():
    text = """
argument %x : tensor<Nx4xf32>
weight @a : tensor<2xi64> = [1, 2]
weight @exit0.b : tensor<2xi64> = [1, 2]
%0 = nn.gather %x, @a {axis = 1} : tensor<Nx2xf32>
%1 = nn.gather %x, @exit0.b {axis = 1} NOTE: tensor<Nx2xf32>
%2 = nn.add %0, %1 : tensor<Nx2xf32>"""
    assert run("cse", text.replace("NOTE", "!{head = 0} "))[0] is False
    changed, names, module = run("cse", text.replace("NOTE", ""))
    assert changed
    assert names == ["nn.gather", "nn.add"]
    assert [weight.name for weight in module.weights()] == ["a"]


def test_two_marks_never_land_on_one_tensor():
    text = """
argument %x : tensor<Nx4xf32>
%0 = nn.relu %x : tensor<Nx4xf32>
ee.candidate %0 {place = "a"}
%1 = nn.identity %0 : tensor<Nx4xf32>
ee.candidate %1 {place = "b"}
%2 = nn.softmax %1 : tensor<Nx4xf32>"""
    changed, names, _ = run("remove-identity", text)
    assert not changed
    assert names.count("ee.candidate") == 2


def test_a_reshape_does_not_go_around_a_mark():
    text = """
argument %x : tensor<Nx2x2xf32>
%0 = nn.relu %x : tensor<Nx2x2xf32>
%1 = nn.reshape %0 {shape = [-1, 4]} : tensor<Nx4xf32>
ee.candidate %1 {place = "a"}
%2 = nn.reshape %1 {shape = [-1, 4, 1]} : tensor<Nx4x1xf32>"""
    assert not run("simplify-shapes", text)[0]
    assert run("simplify-shapes", text.replace('ee.candidate %1 {place = "a"}', ""))[1] == ["nn.relu", "nn.reshape"]


def densenet(ops: int) -> Module:
    """A chain of BatchNorm, ReLU, convolution whose maps are all concatenated."""
    random = np.random.default_rng(0)
    x = Argument("input", TensorType(("N", 4, 4, 4)))
    graph = Graph("main", [x])
    features, channels = [x], 4

    def weight(*shape):
        return Weight(f"w{len(graph.ops)}.{len(weights)}", random.uniform(0.5, 1, shape).astype(np.float32))

    weights: list[Weight] = []
    while len(graph.ops) < ops:
        parts = []
        for _ in range(4):
            weights.append(weight(channels))
            parts.append(weights[-1])
        whole = graph.add(Concat(xs=features[-8:], axis=1)).result
        channels = int(whole.type.shape[1])
        parts = [Weight(f"{part.name}.{i}", np.ones(channels, np.float32)) for i, part in enumerate(parts)]
        names = ("scale", "bias", "mean", "variance")
        normal = graph.add(BatchNorm(x=whole, **dict(zip(names, parts, strict=True)))).result
        active = graph.add(Relu(x=normal)).result
        made = graph.add(Conv(x=active, weight=weight(4, channels, 1, 1))).result
        made = graph.add(Relu(x=made)).result
        features.append(made)
        channels = 4
    graph.returns = [features[-1]]
    return Module("densenet", graph)


def test_time_grows_with_the_ops():
    """1,500 ops within 2 s, on a machine that others use too; a quadratic walk would take minutes."""
    module = densenet(1500)
    start = time.process_time()
    Pipeline(build_passes([("canonicalise", {})])).run(module, Context())
    assert time.process_time() - start < 4


def test_channels_last_maps_are_seen_as_such():
    """A window as large as channels and height is not the whole map; a number per row is not one per channel."""
    last = TensorType(("N", 8, 4, 4), DType.F32, Layout.CHANNELS_LAST)
    x = Argument("x", last)
    pool = AveragePool(x=x, kernel=(4, 4))
    module = Module("pool", Graph("main", [x], [pool], [pool.result]))
    assert not PASSES.get("simplify-shapes")().run(module, Context())
    whole = AveragePool(x=x, kernel=(8, 4))
    module = Module("pool", Graph("main", [x], [whole], [whole.result]))
    original = outputs(module)
    assert PASSES.get("simplify-shapes")().run(module, Context())
    assert module.main.ops[0].name == "nn.global_average_pool"
    assert_same(outputs(module), original)
    random = np.random.default_rng(0)
    for shape, folded in (((1, 8, 1, 1), False), ((8, 1, 1), False), ((8,), True), ((1, 1, 1, 8), True)):
        conv = Conv(x=x, weight=Weight("w", random.normal(size=(8, 4, 1, 1)).astype(np.float32)))
        add = Add(a=conv.result, b=Weight("c", random.normal(size=shape).astype(np.float32)))
        module = Module("conv", Graph("main", [x], [conv, add], [add.result]))
        original = outputs(module)
        assert PASSES.get("fold-batchnorm")().run(module, Context()) == folded
        assert_same(outputs(module), original)
