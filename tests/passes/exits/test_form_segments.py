"""Exits anywhere, segments, pruning: all answer as the joint table of scores says."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from network_builder import Net
from numpy.typing import NDArray

from eennc.ir.cuts import all_scores, exits_of
from eennc.ir.graph import Module
from eennc.ir.interpreter import run_graph, run_module
from eennc.ir.ops.candidate import Candidate
from eennc.ir.ops.exit import Exit
from eennc.ir.ops.relu import Relu
from eennc.ir.parser import parse_module
from eennc.ir.printer import print_module
from eennc.ir.verifier import verify
from eennc.passes.base import Context
from eennc.passes.exits.form_segments import FormSegments
from eennc.passes.exits.insert_exits import InsertExits
from eennc.passes.exits.prune import remove_exits

SAMPLES = 12


@st.composite
def modules(draw: st.DrawFn) -> Module:
    """Dense layers, sums and ReLUs in any order, with exits behind some values; thresholds that some samples pass."""
    net = Net(4)
    values = [net.input]
    for _ in range(draw(st.integers(1, 9))):
        near = st.integers(max(0, len(values) - 3), len(values) - 1)
        a, b = values[draw(near)], values[draw(near)]
        match draw(st.sampled_from(["dense", "add", "relu"])):
            case "dense":
                made = net.dense(a, 4)
            case "add":
                made = net.add(a, b)
            case _:
                made = net.relu(a)
        values.append(made)
    module = net.module(net.dense(values[-1], 3))
    module.main.remove_unused()
    makers = module.main.ops[:-1]
    marked = draw(st.lists(st.sampled_from(makers), unique=True)) if makers else []
    module.main.rewrite({op: (op, Candidate(x=op.result, place=f"p{i}")) for i, op in enumerate(marked)}, {})
    if marked:
        draw(st.sampled_from([InsertExits(hidden=3), InsertExits(head="linear")])).run(module, Context())
    for exit in exits_of(module.main):
        exit.attrs["threshold"] = draw(st.floats(0.3, 1))
        exit.attrs["temperature"] = draw(st.floats(0.5, 2))
    verify(module)
    return module


def inputs() -> NDArray[np.float32]:
    return np.random.default_rng(7).normal(size=(SAMPLES, 4)).astype(np.float32)


def by_table(module: Module, kept: list[int] | None = None) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Scores and exits: a sample stops at the first kept exit that is sure enough, in whole-batch tables."""
    exits = exits_of(module.main)
    kept = list(range(len(exits))) if kept is None else kept
    *tables, last = run_graph(module, all_scores(module.main), [inputs()])
    scores, taken = last.copy(), np.full(SAMPLES, len(kept))
    for number, exit in reversed([(number, exits[k]) for number, k in enumerate(kept)]):
        logits = tables[exit.exit].astype(np.float64) / exit.temperature
        confidence = 1 / np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)
        # which side of a threshold a sample falls on must not hang on rounding
        assume(np.abs(confidence - exit.threshold).min() > 1e-5)
        leaves = confidence >= exit.threshold
        scores[leaves], taken[leaves] = tables[exit.exit][leaves], number
    return scores, taken


def check(module: Module, expected: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    verify(module)
    outcome = run_module(module, [inputs()])
    np.testing.assert_array_equal(outcome.exit, expected[1])
    np.testing.assert_allclose(outcome.scores, expected[0], rtol=1e-4, atol=1e-4)


@given(modules(), st.data())
@settings(max_examples=120)
def test_every_form_answers_as_the_table(module: Module, data: st.DataObject) -> None:
    check(module, by_table(module))
    numbers = range(len(exits_of(module.main)))
    kept = sorted(data.draw(st.sets(st.sampled_from(numbers)))) if numbers else []
    expected = by_table(module, kept)

    segmented = module.copy()
    assert FormSegments().run(segmented, Context())
    check(segmented, by_table(module))
    assert {op.name for op in segmented.main.ops} <= {"ee.call", "ee.exit"}
    assert not FormSegments().run(segmented, Context())

    heads = {op: op.notes.get("head") for op in module.main.ops}
    places = [exits_of(module.main)[k].place for k in kept]
    names = {w.name for op, head in heads.items() if head in kept for w in op.inputs if hasattr(w, "name")}
    remove_exits(module, kept)
    assert [exit.place for exit in exits_of(module.main)] == places
    assert names <= {weight.name for weight in module.weights()}
    assert {op.notes["head"] for op in module.main.ops if "head" in op.notes} == set(range(len(kept)))
    assert module.stage == ("exits-placed" if kept else "imported")
    check(module, expected)
    FormSegments().run(module, Context())
    check(module, expected)
    again = parse_module(print_module(module), {weight.name: weight.array for weight in module.weights()})
    check(again, expected)


def placed() -> Module:
    net = Net(2, 6, 6)
    y = net.relu(net.conv(net.input, 4))
    y = net.conv(y, 4)
    module = net.classified(net.conv(y, 4))
    marks = {op: (op, Candidate(x=op.result, place=f"p{i}")) for i, op in enumerate(module.main.ops[1:3])}
    module.main.rewrite(marks, {})
    InsertExits().run(module, Context())
    return module


def test_functions_and_decision_graph() -> None:
    module = placed()
    before = {weight.name: weight for weight in module.weights()}
    FormSegments().run(module, Context())
    assert list(module.graphs) == ["main", "segment0", "head0", "segment1", "head1", "segment2"]
    called = [op.attrs.get("callee", op.attrs.get("exit")) for op in module.main.ops]
    assert called == ["segment0", "head0", 0, "segment1", "head1", 1, "segment2"]
    assert all(before[weight.name] is weight for weight in module.weights())
    for name, graph in module.graphs.items():
        if name.startswith("head"):
            assert {op.notes["head"] for op in graph.ops} == {int(name[-1])}
            assert {op.notes.get("reduction") for op in graph.ops} == {int(name[-1]), None}


def test_a_network_without_exits_is_one_segment() -> None:
    net = Net(2, 6, 6)
    module = net.classified(net.conv(net.input, 4))
    x = np.random.default_rng(0).normal(size=(2, 2, 6, 6)).astype(np.float32)
    (expected,) = run_graph(module, module.main, [x])
    conv = module.main.ops[0]
    module.main.rewrite({conv: (conv, Candidate(x=conv.result, place="unused"))}, {})
    FormSegments().run(module, Context())
    verify(module)
    assert list(module.graphs) == ["main", "segment0"]
    np.testing.assert_array_equal(run_graph(module, module.main, [x])[0], expected)


def test_a_head_may_share_work_with_the_network() -> None:
    """The scores are made by the backbone itself: an exit without a head of its own."""
    net = Net(3)
    early = net.dense(net.input, 3)
    exit = Exit(scores=early, carry=[early], exit=0, threshold=0.6)
    net.graph.add(exit)
    module = net.module(net.dense(net.op(Relu(x=exit.results[0])), 3))
    module.stage = "exits-placed"
    x = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    sure = exit.confidence(run_graph(module, all_scores(module.main), [x])[0])
    exit.attrs["threshold"] = float(np.sort(sure)[3:5].mean())
    expected = run_module(module, [x])
    assert expected.exit.sum() == 4
    FormSegments().run(module, Context())
    verify(module)
    found = run_module(module, [x])
    np.testing.assert_array_equal(found.exit, expected.exit)
    np.testing.assert_array_equal(found.scores, expected.scores)
    assert list(module.graphs) == ["main", "segment0", "segment1"]


def test_a_head_may_start_from_what_is_not_carried() -> None:
    """The segment then returns that value too."""
    net = Net(3)
    early = net.dense(net.input, 4)
    late = net.relu(early)
    exit = Exit(scores=net.dense(early, 3), carry=[late], exit=0, threshold=0.6)
    net.graph.add(exit)
    module = net.module(net.dense(exit.results[0], 3))
    module.stage = "exits-placed"
    x = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    expected = run_module(module, [x])
    FormSegments().run(module, Context())
    verify(module)
    assert [value.type.shape[1] for value in module.graphs["segment0"].returns] == [4, 4]
    np.testing.assert_array_equal(run_module(module, [x]).scores, expected.scores)


def test_only_exits_that_are_there_can_be_kept() -> None:
    with pytest.raises(ValueError, match="there is no exit 2"):
        remove_exits(placed(), [0, 2])
