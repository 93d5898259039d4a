"""Costs against hand counts from the layers' shapes, and against another way of counting on random networks."""

import math
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from pass_docstrings import snippet_module
from random_networks import networks

from eennc.ir.cuts import truncated, without_exits
from eennc.ir.graph import Graph, Module
from eennc.ir.interpreter import run_op
from eennc.ir.ops.exit import Exit
from eennc.ir.values import Weight
from eennc.passes import register
from eennc.passes.base import Context
from eennc.passes.cost import AnnotateCost, costs_of, graph_cost, module_cost, op_cost
from eennc.passes.exits.form_segments import FormSegments
from eennc.passes.pipeline import Pipeline, build_passes
from eennc.support.diagnostics import UserError

register()
RANDOM = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


def conv(out: tuple[int, int], channels: int, per_group: int, kernel: tuple[int, int]) -> int:
    """MACs: every output element is a sum over a window of the group's channels."""
    return math.prod(out) * channels * per_group * math.prod(kernel)


def dscnn(classes: int) -> Iterable[int]:
    # Zhang et al. 2017, "Hello Edge", DS-CNN small: 49 x 10 MFCC, stride 2, then four separable blocks on 25 x 5
    yield conv((25, 5), 64, 1, (10, 4))
    for _ in range(4):
        yield conv((25, 5), 64, 1, (3, 3))
        yield conv((25, 5), 64, 64, (1, 1))
    yield 64 * classes


def resnet8() -> Iterable[int]:
    # MLPerf Tiny: 16, 32, 64 channels on 32, 16, 8; one block each, projections of 1 x 1 at the strided ones
    yield conv((32, 32), 16, 3, (3, 3))
    before = 16
    for size, channels in ((32, 16), (16, 32), (8, 64)):
        yield conv((size, size), channels, before, (3, 3))
        yield conv((size, size), channels, channels, (3, 3))
        if channels != before:
            yield conv((size, size), channels, before, (1, 1))
        before = channels
    yield 64 * 10


def resnet_cifar(blocks: int) -> Iterable[int]:
    # He et al. 2015, section 4.2: 6n + 2 layers, shortcuts without parameters
    yield conv((32, 32), 16, 3, (3, 3))
    before = 16
    for size, channels in ((32, 16), (16, 32), (8, 64)):
        for _ in range(blocks):
            yield conv((size, size), channels, before, (3, 3))
            yield conv((size, size), channels, channels, (3, 3))
            before = channels
    yield 64 * 10


HAND = {
    "kws_ref_dscnn.onnx": (dscnn(12), 2_656_768),
    "arm_ds_cnn_s_gsc12.onnx": (dscnn(12), 2_656_768),
    "dscnn_asc40.onnx": (dscnn(40), 2_658_560),
    "mlperftiny_resnet8_cifar10.onnx": (resnet8(), 12_501_632),
    "resnet20_cifar10jpegft.onnx": (resnet_cifar(3), 40_551_040),
    "resnet56_cifar10jpegft.onnx": (resnet_cifar(9), 125_485_696),
}


@pytest.mark.real
@pytest.mark.parametrize("name", HAND)
def test_macs_equal_the_hand_count(name: str, shared_data: Path):
    from eennc.interop.onnx.reader import read_model

    layers, total = HAND[name]
    assert sum(layers) == total
    module = read_model(shared_data / "models" / name)
    assert graph_cost(module.main).macs == total
    Pipeline(build_passes([("canonicalise", {})])).run(module, Context())
    assert graph_cost(module.main).macs == total
    assert costs_of(module).backbone.tolist() == [total]


@pytest.mark.real
def test_parameters_and_memory_of_ds_cnn(shared_data: Path):
    from eennc.interop.onnx.reader import read_model

    module = read_model(shared_data / "models" / "kws_ref_dscnn.onnx")
    Pipeline(build_passes([("canonicalise", {})])).run(module, Context())
    cost = graph_cost(module.main)
    # weights and biases of the layers above, BatchNorm folded
    assert cost.params == 64 * 40 + 64 + 4 * (64 * 9 + 64 + 64 * 64 + 64) + 64 * 12 + 12
    assert cost.weight_bytes == 4 * cost.params
    # two maps of 25 x 5 x 64 live at once
    assert cost.peak_bytes == 2 * 4 * 25 * 5 * 64


TWO_EXITS = """
argument %x : tensor<Nx8xf32>
weight @a : tensor<8x8xf32>
weight @h0 : tensor<3x8xf32>
weight @b : tensor<4x8xf32>
weight @h1 : tensor<6x4xf32>
weight @h2 : tensor<3x6xf32>
weight @c : tensor<3x4xf32>
%0 = nn.dense %x, @a : tensor<Nx8xf32>
%1 = nn.dense %0, @h0 : tensor<Nx3xf32>
%2 = ee.exit %1 carry(%0) {exit = 0, place = "p"} : tensor<Nx8xf32>
%3 = nn.dense %2, @b : tensor<Nx4xf32>
%4 = nn.dense %3, @h1 : tensor<Nx6xf32>
%5 = nn.dense %4, @h2 : tensor<Nx3xf32>
%6 = ee.exit %5 carry(%3) {exit = 1, place = "q"} : tensor<Nx4xf32>
%7 = nn.dense %6, @c : tensor<Nx3xf32>"""


def test_exits_by_hand():
    module = snippet_module(TWO_EXITS)
    costs = costs_of(module)
    assert costs.backbone.tolist() == [64, 64 + 32, 64 + 32 + 12]
    assert costs.head.tolist() == [24, 24 + 18]
    assert (costs.backbone.dtype, costs.head.dtype) == ("int64", "int64")
    cost = module_cost(module)
    assert [(exit.exit, exit.place, exit.path.macs) for exit in cost.exits] == [(0, "p", 88), (1, "q", 162)]
    assert cost.total.macs == 174
    assert cost.total.params == 174
    # x and %0, then %0 and %1, then %2 (which is %0) and %3, then %3 and %4
    assert [exit.path.peak_bytes for exit in cost.exits] == [64, 64]
    assert op_cost(module.main.ops[3]).activation_bytes == 16
    FormSegments().run(module, Context())
    assert costs_of(module).backbone.tolist() == costs.backbone.tolist()
    assert costs_of(module).head.tolist() == costs.head.tolist()
    with pytest.raises(UserError, match="before form-segments"):
        AnnotateCost().run(module, Context())


def test_a_shared_weight_counts_once():
    module = snippet_module(
        """
argument %x : tensor<Nx4xf32>
weight @a : tensor<4x4xf32>
%0 = nn.dense %x, @a : tensor<Nx4xf32>
%1 = nn.dense %0, @a : tensor<Nx4xf32>"""
    )
    cost = graph_cost(module.main)
    assert (cost.macs, cost.params, cost.weight_bytes, cost.activation_bytes, cost.peak_bytes) == (32, 16, 64, 32, 32)


def test_annotate_cost_writes_notes_once():
    module, ctx = snippet_module(TWO_EXITS), Context()
    before = module.fingerprint()
    assert AnnotateCost().run(module, ctx)
    assert not AnnotateCost().run(module, ctx)
    assert module.fingerprint() == before
    exits = [op for op in module.main.ops if isinstance(op, Exit)]
    assert [op.notes["macs_to_here"] for op in exits] == [88, 162]
    assert module.main.ops[1].notes == {"macs": 24, "weight_bytes": 96, "activation_bytes": 12}


@RANDOM
@given(module=networks(exits=True))
def test_costs_agree_with_the_networks_cut_at_each_exit(module: Module):
    """Another road: cut the graph at every exit, and sum what is left."""
    Pipeline(build_passes([("canonicalise", {})])).run(module, Context())
    costs, cost = costs_of(module), module_cost(module)
    heads = 0
    for k, exit in enumerate(cost.exits):
        heads += int(costs.head[k])
        assert exit.path.macs == costs.backbone[k] + heads
        assert graph_cost(truncated(module.main, k)).macs == costs.backbone[k] + costs.head[k]
    assert graph_cost(without_exits(module.main)).macs == costs.backbone[-1]
    assert cost.total.macs == costs.backbone[-1] + heads


@RANDOM
@given(module=networks(exits=False))
def test_peak_memory_is_what_a_run_holds(module: Module):
    """Run the graph, freeing every array after its last use."""
    Pipeline(build_passes([("canonicalise", {})])).run(module, Context())
    assert graph_cost(module.main).peak_bytes == measured_peak(module.main)


def measured_peak(graph: Graph) -> int:
    import numpy as np

    held = {a: np.zeros(a.type.concrete(1), a.type.dtype.numpy) for a in graph.arguments}
    peak = sum(array.nbytes for array in held.values())
    for index, op in enumerate(graph.ops):
        operands = [v.array if isinstance(v, Weight) else held[v] if v else None for v in op.operands]
        held.update(zip(op.results, run_op(op, operands), strict=True))
        peak = max(peak, sum(array.nbytes for array in held.values()))
        needed = {v for later in graph.ops[index + 1 :] for v in later.inputs} | set(graph.returns)
        # an argument that nothing uses is the caller's
        held = {v: array for v, array in held.items() if v in needed}
    return peak
