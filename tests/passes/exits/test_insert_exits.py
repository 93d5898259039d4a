from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from network_builder import Net
from numpy.typing import NDArray

from eennc.data.splits import Split, Splits
from eennc.interop.onnx.reader import read_model
from eennc.ir.cuts import all_scores, exits_of, without_exits
from eennc.ir.graph import Graph, Module
from eennc.ir.interpreter import run_graph
from eennc.ir.ops.candidate import Candidate
from eennc.ir.ops.flatten import Flatten
from eennc.ir.ops.global_average_pool import GlobalAveragePool
from eennc.ir.ops.global_max_pool import GlobalMaxPool
from eennc.ir.ops.reduce_mean import ReduceMean
from eennc.ir.ops.softmax import Softmax
from eennc.ir.types import Array, TensorType
from eennc.ir.values import Argument, Value, Weight
from eennc.ir.verifier import verify
from eennc.passes.base import Context
from eennc.passes.exits.blueprint import Blueprint, blueprint_of
from eennc.passes.exits.find_exits import FindExits
from eennc.passes.exits.heads import heads_of, reduction_graph, set_head_weights
from eennc.passes.exits.insert_exits import InsertExits
from eennc.passes.exits.reductions import Reduction, reduce
from eennc.passes.pipeline import build_passes
from eennc.support.diagnostics import UserError
from eennc.support.instruments import Silent


def placed(module: Module, p: InsertExits | None = None, ctx: Context | None = None) -> Module:
    ctx = ctx or Context()
    FindExits(min_saving=0, min_gap=0).run(module, ctx)
    (p or InsertExits(grid=1, hidden=64)).run(module, ctx)
    verify(module)
    return module


def residual(probabilities: bool = False, batch: int | str = "N") -> Module:
    net = Net(2, 9, 7, batch=batch)
    y = net.relu(net.conv(net.input, 4, node="/stem/Conv"), "/stem/Relu")
    for block in range(2):
        y = net.residual(y, f"block{block}")
    y = net.conv(y, 6, stride=2, node="/wide/Conv")
    module = net.classified(net.residual(y, "last"), 5)
    if probabilities:
        module.main.returns = [net.op(Softmax(x=module.main.returns[0]))]
    return module


# reductions, against windows cut out by hand


def pooled(x: NDArray[np.float32], reduction: str, grid: int) -> NDArray[np.float32]:
    """Windows of one size in equal steps, as few and as small as cover the map with min(grid, size) cells a side."""
    cells: list[list[slice]] = []
    for size in x.shape[2:]:
        count = min(grid, size)
        step = size // count
        cells.append([slice(i * step, size - (count - 1 - i) * step) for i in range(count)])
    rows = cells[0] if len(cells) == 1 else [(a, b) for a in cells[0] for b in cells[1]]
    parts: list[NDArray[np.float32]] = []
    axes = tuple(range(2, x.ndim))
    for kind in reduction.split("+"):
        function = np.mean if kind == "average" else np.max
        windows = [x[(slice(None), slice(None), *(row if isinstance(row, tuple) else (row,)))] for row in rows]
        parts.append(np.stack([function(window, axis=axes) for window in windows], axis=-1))
    return np.concatenate(parts, axis=1).reshape(len(x), -1)


def reduced(x: Array, reduction: Reduction, grid: int, *, channels_last: bool = False) -> tuple[Graph, Array]:
    argument = Argument("x", TensorType(("N", *x.shape[1:])))
    graph = Graph("main", [argument])
    graph.ops = reduce(argument, reduction, grid, channels_last=channels_last)
    graph.returns = [graph.ops[-1].result if graph.ops else argument]
    module = Module("reduction", graph)
    verify(module)
    return graph, run_graph(module, graph, [x])[0]


@pytest.mark.parametrize("reduction", get_args(Reduction))
@pytest.mark.parametrize("grid", [1, 2, 3, 5])
@pytest.mark.parametrize("shape", [(3, 7, 6), (2, 5, 2), (3, 11), (2, 4, 3)])
def test_reductions_are_pools_over_a_grid(reduction: Reduction, grid: int, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)
    _, found = reduced(x, reduction, grid)
    expected = pooled(x, reduction, grid)
    if grid >= max(shape[1:]):
        # a map as small as the grid is kept once
        expected = x.reshape(2, -1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_vectors_stay_and_single_cells_are_only_reshaped() -> None:
    x = np.random.default_rng(1).normal(size=(2, 6)).astype(np.float32)
    graph, found = reduced(x, "average+max", 2)
    assert not graph.ops
    graph, found = reduced(x.reshape(2, 6, 1, 1), "average+max", 2)
    assert [op.name for op in graph.ops] == ["nn.reshape"]
    np.testing.assert_array_equal(found, x)
    graph, found = reduced(x.reshape(2, 1, 3, 1, 2), "average", 1)
    np.testing.assert_array_equal(found, x)


def test_steps_of_features() -> None:
    x = np.random.default_rng(1).normal(size=(2, 5, 3)).astype(np.float32)
    _, found = reduced(x, "average+max", 1, channels_last=True)
    np.testing.assert_allclose(found, np.concatenate([x.mean(axis=1), x.max(axis=1)], axis=1), rtol=1e-6)


def test_dense_layers_over_steps_are_pooled_over_the_steps() -> None:
    net = Net(5, 3)
    y = net.relu(net.dense(net.relu(net.dense(net.input, 8)), 8))
    module = placed(net.module(net.dense(net.op(ReduceMean(x=y, axes=(1,), keepdims=False)), 2)), InsertExits(grid=1))
    assert [head.width for head in heads_of(module)] == [16]
    net = Net(3, 12)
    module = placed(net.classified(net.conv(net.relu(net.conv(net.input, 4)), 4)))
    assert [head.width for head in heads_of(module)] == [8]


# what is inserted


@pytest.mark.parametrize("batch", ["N", 4])
@pytest.mark.parametrize("probabilities", [False, True])
def test_exits_stand_behind_their_places(probabilities: bool, batch: int | str) -> None:
    module = placed(residual(probabilities, batch))
    exits = exits_of(module.main)
    assert [exit.place for exit in exits] == ["stem", "block0", "block1", "wide"]
    assert [exit.exit for exit in exits] == [0, 1, 2, 3]
    assert {exit.kind for exit in exits} == {"probabilities" if probabilities else "logits"}
    assert {exit.threshold for exit in exits} == {np.inf}
    assert [len(exit.carry) for exit in exits] == [1, 1, 1, 1]
    assert {exit.scores.type for exit in exits} == {module.main.returns[0].type}
    assert all(exit.origin.passes[-1] == "insert-exits" for exit in exits)
    for head in heads_of(module):
        names = [weight.name for layer in head.layers for weight in layer.inputs if isinstance(weight, Weight)]
        prefix = f"exit{head.number}.dense"
        assert names == [f"{prefix}{layer}.{part}" for layer in range(2) for part in ("weight", "bias")]
        assert head.hidden == (64,)
        assert head.width == 2 * int(head.exit.carry[0].type.shape[1])
    noted = [(op.notes.get("head"), op.notes.get("reduction"), op.name) for op in module.main.ops if op.notes]
    pools = ["nn.global_average_pool", "nn.global_max_pool", "nn.concat", "nn.reshape"]
    layers = ["nn.dense", "nn.dense", *(["nn.softmax"] if probabilities else [])]
    assert noted == [
        row for k in range(4) for row in (*((k, k, name) for name in pools), *((k, None, name) for name in layers))
    ]


def test_the_network_itself_stays() -> None:
    x = np.random.default_rng(0).normal(size=(3, 2, 9, 7)).astype(np.float32)
    plain = residual()
    (expected,) = run_graph(plain, plain.main, [x])
    module = placed(residual())
    base = without_exits(module.main)
    assert run_graph(module, module.main, [x])[0].tobytes() == expected.tobytes()
    assert run_graph(module, base, [x])[0].tobytes() == expected.tobytes()
    assert [op.name for op in base.ops] == [op.name for op in plain.main.ops]


def test_features_are_what_the_heads_start_from() -> None:
    """Heads computed by hand from the reduction graph's answers give the exits' scores."""
    x = np.random.default_rng(0).normal(size=(3, 2, 9, 7)).astype(np.float32)
    module = placed(residual(), InsertExits(grid=2, hidden=7))
    *features, last = run_graph(module, reduction_graph(module), [x])
    *scores, own = run_graph(module, all_scores(module.main), [x])
    np.testing.assert_array_equal(last, own)
    assert len(features) == len(scores) == 4
    for head, rows, expected in zip(heads_of(module), features, scores, strict=True):
        assert rows.shape == (3, head.width)
        (w0, b0), (w1, b1) = ((w.array for w in layer.inputs[1:]) for layer in head.layers)  # type: ignore[attr-defined]
        np.testing.assert_allclose(np.maximum(rows @ w0.T + b0, 0) @ w1.T + b1, expected, rtol=1e-4, atol=1e-4)


def test_seeds_and_places_decide_the_weights() -> None:
    assert placed(residual()).fingerprint() == placed(residual()).fingerprint()
    assert placed(residual(), ctx=Context(seed=1)).fingerprint() != placed(residual()).fingerprint()
    weights = [head.layers[0].weight for head in heads_of(placed(residual()))[:2]]
    assert weights[0].type == weights[1].type
    assert weights[0].digest != weights[1].digest  # type: ignore[attr-defined]


def test_a_linear_head() -> None:
    module = placed(residual(), InsertExits(head="linear", reduction="max", grid=1))
    assert [(head.hidden, head.width) for head in heads_of(module)] == [((), 4), ((), 4), ((), 4), ((), 6)]


def test_the_width_follows_the_size_of_the_network() -> None:
    """By default a head has at most 3 % of the network's MACs and 2^20 parameters; the narrowest may have more."""

    def width(channels: int) -> int:
        net = Net(2, 8, 8)
        y = net.conv(net.conv(net.input, channels), channels)
        module = placed(net.classified(y), InsertExits())
        (head,) = heads_of(module)
        assert head.width == 2 * channels * 16
        macs = sum(layer.macs() for layer in head.layers)
        assert macs == head.hidden[0] * (head.width + 3)
        total = sum(op.macs() for op in without_exits(module.main).ops)
        most = min(0.03 * total, 2**20)
        assert macs <= most or head.hidden[0] == 16
        assert 2 * macs > most or head.hidden[0] == 256
        return head.hidden[0]

    assert [width(channels) for channels in (4, 64, 128, 512)] == [16, 32, 64, 32]


def test_names_that_the_network_uses_itself_are_left_to_it() -> None:
    module = residual()
    module.main.substitute({w: Weight("exit0.dense0.bias", w.array) for w in module.weights()[:1]})
    assert [w.name for w in placed(module).weights()].count("exit0.dense0.bias") == 1


def test_other_places_than_dominators_carry_all_that_crosses() -> None:
    """A mark inside a residual block: the skipped tensor goes along."""
    module = residual()
    inside = next(op for op in module.main.ops if op.origin.node == "/block1/Relu")
    module.main.rewrite({inside: (inside, Candidate(x=inside.result, place="inside"))}, {})
    exits = exits_of(placed(module).main)
    assert {exit.place: len(exit.carry) for exit in exits}["inside"] == 2
    x = np.random.default_rng(0).normal(size=(3, 2, 9, 7)).astype(np.float32)
    plain = residual()
    np.testing.assert_array_equal(run_graph(module, module.main, [x])[0], run_graph(plain, plain.main, [x])[0])


def test_a_second_run_changes_nothing() -> None:
    module = placed(residual())
    before = module.fingerprint()
    assert not InsertExits().run(module, Context())
    assert module.fingerprint() == before


def test_no_mark_is_refused() -> None:
    with pytest.raises(UserError, match="no candidate is marked"):
        InsertExits().run(residual(), Context())


def test_a_mark_at_the_end_is_refused() -> None:
    module = residual()
    module.main.add(Candidate(x=module.main.returns[0], place="end"))
    with pytest.raises(UserError, match="nothing follows 'end'"):
        InsertExits().run(module, Context())


def test_exits_once_placed_are_not_sought_again() -> None:
    with pytest.raises(UserError, match="exits are placed already"):
        FindExits().run(placed(residual()), Context())


# the grid that the cache allows


class Warned(Silent):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def test_the_cache_limit_sets_the_grid() -> None:
    samples = 10
    ctx = Context(data=Splits(Split("train", np.zeros((samples, 2, 9, 7), np.float32))), progress=Warned())
    # float16, average and maximum of 3 * 4 + 6 channels on 2 x 2 cells
    limit = samples * 2 * 2 * 18 * 4
    fits = placed(residual(), InsertExits(grid=2, cache_limit=limit), ctx)
    assert sum(head.width for head in heads_of(fits)) == 2 * 18 * 4
    assert not ctx.progress.warnings  # type: ignore[attr-defined]
    small = placed(residual(), InsertExits(grid=2, cache_limit=limit - 1), ctx)
    assert sum(head.width for head in heads_of(small)) == 2 * 18
    assert "grid 1 instead of 2" in ctx.progress.warnings[0]  # type: ignore[attr-defined]


# blueprints


def tail(net: Net, kind: str) -> Value:
    y = net.relu(net.conv(net.conv(net.input, 4), 4))
    match kind:
        case "average":
            return net.op(Flatten(x=net.op(GlobalAveragePool(x=y))))
        case "max":
            return net.op(Flatten(x=net.op(GlobalMaxPool(x=y))))
        case "mean":
            return net.op(ReduceMean(x=y, axes=(2, 3), keepdims=False))
        case _:
            return net.op(Flatten(x=y))


@pytest.mark.parametrize(
    ("kind", "reduction", "grid"),
    [("average", "average", 1), ("max", "max", 1), ("mean", "average", 1), ("flat", "average", 6)],
)
@pytest.mark.parametrize("hidden", [(), (10,), (12, 10)])
def test_blueprints(kind: str, reduction: Reduction, grid: int, hidden: tuple[int, ...]) -> None:
    net = Net(2, 6, 5)
    y = tail(net, kind)
    for width in hidden:
        y = net.relu(net.dense(y, width))
    module = net.module(net.dense(y, 3))
    assert blueprint_of(module.main) == Blueprint(hidden, reduction, grid)
    heads = heads_of(placed(module, InsertExits(head="blueprint", reduction="average+max")))
    assert [head.hidden for head in heads[:1]] == [hidden]
    assert heads[0].width == 4 * (30 if kind == "flat" else 1)


def test_the_blueprint_of_a_convolution_is_one_layer() -> None:
    net = Net(2, 6, 6)
    module = net.module(net.op(GlobalAveragePool(x=net.conv(net.conv(net.input, 4), 3))))
    assert blueprint_of(module.main) == Blueprint((), "average", 1)


# heads


def test_weights_of_heads_are_set_by_name() -> None:
    module = placed(residual())
    other = module.copy()
    new = np.full((64, 8), 0.25, np.float32)
    set_head_weights(module, 1, {"exit1.dense0.weight": new})
    verify(module)
    layer = heads_of(module)[1].layers[0]
    np.testing.assert_array_equal(layer.weight.array, new)  # type: ignore[attr-defined]
    assert heads_of(other)[1].layers[0].weight.digest != layer.weight.digest  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"head 1 has no weight 'exit0.dense0.weight'"):
        set_head_weights(module, 1, {"exit0.dense0.weight": new})
    with pytest.raises(ValueError, match="is tensor<64x8xf32>, not tensor<8x64xf32>"):
        set_head_weights(module, 1, {"exit1.dense0.weight": new.T})


def test_a_head_that_cannot_be_trained_is_refused() -> None:
    module = placed(residual())
    for op in module.main.ops:
        if op.notes.get("head") == 2:
            del op.notes["head"]
    with pytest.raises(UserError, match=r"exit 2 \('block1'\) has a head that train-exits cannot train"):
        heads_of(module)


@pytest.mark.real
@pytest.mark.parametrize("name", ["dscnn_asc40", "ecg_cnn_aami5", "resnet20_cifar10jpegft"])
def test_real_models(name: str, shared_data: Path) -> None:
    module = read_model(shared_data / "models" / f"{name}.onnx")
    ctx = Context()
    for p in build_passes([("canonicalise", {})]):
        p.run(module, ctx)
    x = np.random.default_rng(0).normal(size=(2, *module.main.arguments[0].type.concrete()[1:])).astype(np.float32)
    (expected,) = run_graph(module, module.main, [x])
    found = len(module.main.ops)
    placed(module, InsertExits(grid=2))
    assert len(without_exits(module.main).ops) == found
    np.testing.assert_array_equal(run_graph(module, module.main, [x])[0], expected)
    assert all(len(exit.carry) == 1 for exit in exits_of(module.main))


@pytest.mark.parametrize("head", ["linear", "blueprint"])
def test_an_option_for_another_head_is_refused(head: str) -> None:
    with pytest.raises(ValueError, match=f"hidden is for head: mlp, not {head}"):
        InsertExits(head=head, hidden=8)
