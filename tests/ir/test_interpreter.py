"""The interpreter against a loop that runs one sample at a time with plain numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eennc.ir.cuts import all_scores, exit_free, truncated, without_exits
from eennc.ir.graph import Graph, Module
from eennc.ir.interpreter import run_graph, run_module
from eennc.ir.op import VerifyError
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.exit import Exit
from eennc.ir.ops.opaque import Opaque
from eennc.ir.ops.softmax import Softmax
from eennc.ir.printer import print_module
from eennc.ir.shapes import known_shape
from eennc.ir.stretches import stretches_of
from eennc.ir.types import DType, TensorType
from eennc.ir.values import Argument, Value, Weight
from eennc.ir.verifier import verify
from eennc.passes.base import Context
from eennc.passes.exits.form_segments import FormSegments

WIDTH, CLASSES = 5, 3


def matrices(exits: int, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Backbone steps [exits + 1] and classifiers [exits + 1]."""
    random = np.random.default_rng(seed)
    steps = [random.normal(size=(WIDTH, WIDTH)).astype(np.float32) for _ in range(exits + 1)]
    heads = [random.normal(size=(CLASSES, WIDTH)).astype(np.float32) * 2 for _ in range(exits + 1)]
    return steps, heads


def network(exits: int, seed: int, thresholds: list[float], temperature: float, kind: str) -> Module:
    steps, heads = matrices(exits, seed)
    x = Argument("x", TensorType(("N", WIDTH)))
    graph = Graph("main", [x])
    value: Value = x
    for k in range(exits + 1):
        value = graph.add(Dense(x=value, weight=Weight(f"step{k}", steps[k]), activation="relu")).result
        scores = graph.add(Dense(x=value, weight=Weight(f"head{k}", heads[k]))).result
        if kind == "probabilities":
            scores = graph.add(Softmax(x=scores)).result
        if k == exits:
            graph.returns = [scores]
            break
        setting = {"threshold": thresholds[k], "temperature": temperature, "kind": kind}
        value = graph.add(Exit(scores=scores, carry=[value], exit=k, **setting)).results[0]
    module = Module("net", graph, stage="exits-placed", attributes={"scores": kind})
    verify(module)
    return module


def one_by_one(exits, seed, thresholds, temperature, kind, x):
    """Scores, exits and confidences of each sample, by a plain loop."""
    steps, heads = matrices(exits, seed)
    answers = []
    for sample in x.astype(np.float64):
        value, margins = sample, []
        for k in range(exits + 1):
            value = np.maximum(steps[k] @ value, 0)
            logits = heads[k] @ value
            softened = np.exp((logits - logits.max()) / temperature)
            confidence = softened.max() / softened.sum()
            plain = np.exp(logits - logits.max())
            scores = plain / plain.sum() if kind == "probabilities" else logits
            if k == exits or confidence >= thresholds[k]:
                break
            margins.append(abs(confidence - thresholds[k]))
        margins.append(abs(confidence - thresholds[k]) if k < exits else 1.0)
        answers.append((scores, k, min(margins)))
    return answers


@settings(max_examples=60)
@given(
    exits=st.integers(0, 4),
    seed=st.integers(0, 1000),
    samples=st.integers(1, 9),
    temperature=st.sampled_from([0.5, 1.0, 2.5]),
    kind=st.sampled_from(["logits", "probabilities"]),
    data=st.data(),
)
def test_exits_are_taken_per_sample(exits, seed, samples, temperature, kind, data):
    thresholds = data.draw(st.lists(st.floats(0.3, 1.05), min_size=exits, max_size=exits))
    x = np.random.default_rng(seed + 1).normal(size=(samples, WIDTH)).astype(np.float32)
    module = network(exits, seed, thresholds, temperature, kind)
    segmented = module.copy()
    FormSegments().run(segmented, Context())
    verify(segmented)
    found, again = run_module(module, [x]), run_module(segmented, [x])
    assert np.array_equal(found.scores, again.scores)
    assert np.array_equal(found.exit, again.exit)
    for i, (scores, exit, margin) in enumerate(one_by_one(exits, seed, thresholds, temperature, kind, x)):
        if margin > 1e-4:
            assert found.exit[i] == exit
            assert found.scores[i] == pytest.approx(scores, rel=1e-3, abs=1e-4)


def test_all_leave_and_none_leaves():
    x = np.random.default_rng(3).normal(size=(4, WIDTH)).astype(np.float32)
    assert run_module(network(2, 0, [0.0, 0.0], 1.0, "logits"), [x]).exit.tolist() == [0] * 4
    assert run_module(network(2, 0, [np.inf, np.inf], 1.0, "logits"), [x]).exit.tolist() == [2] * 4


def test_cuts_leave_the_original_alone():
    module = network(3, 7, [0.6] * 3, 1.0, "logits")
    text = print_module(module)
    x = np.random.default_rng(4).normal(size=(6, WIDTH)).astype(np.float32)
    never = network(3, 7, [np.inf] * 3, 1.0, "logits")
    every = run_graph(module, all_scores(module.main), [x])
    assert len(every) == 4
    assert np.array_equal(every[-1], run_module(never, [x]).scores)
    assert np.array_equal(run_graph(module, without_exits(module.main), [x])[0], every[-1])
    for k in range(3):
        cut = truncated(module.main, k)
        assert np.array_equal(run_graph(module, cut, [x])[0], every[k])
        assert len(cut.ops) == k + 2  # the steps so far, and head k alone
    carried = exit_free(module.main, [module.main.ops[2].results[0]])
    assert [op.name for op in carried.ops] == ["nn.dense"]
    assert print_module(module) == text


def test_stretches():
    module = network(2, 1, [0.5, 0.5], 1.0, "logits")
    stretches = stretches_of(module.main)
    assert [len(s.backbone) for s in stretches] == [1, 1, 2]
    assert [len(s.head) for s in stretches] == [1, 1, 0]
    assert [s.exit.exit if s.exit else None for s in stretches] == [0, 1, None]
    assert stretches[1].entering == tuple(module.main.ops[2].results)


def test_opaque_ops_need_a_runner():
    x = Argument("x", TensorType(("N", 2)))
    op = Opaque(operands_in=[x], op_type="Mystery", names=["x"], node=b"", types=[x.type])
    module = Module("net", Graph("main", [x], [op], [op.results[0]]))
    array = np.ones((3, 2), np.float32)
    with pytest.raises(VerifyError, match="Mystery"):
        run_graph(module, module.main, [array])
    (answer,) = run_graph(module, module.main, [array], opaque=lambda _, arrays: [2 * arrays[0]])
    assert np.array_equal(answer, 2 * array)


def test_known_shapes_of_a_long_chain():
    from eennc.ir.ops.add import Add
    from eennc.ir.ops.concat import Concat
    from eennc.ir.ops.gather import Gather
    from eennc.ir.ops.shape_of import ShapeOf
    from eennc.ir.ops.unsqueeze import Unsqueeze

    x = Argument("x", TensorType(("N", 8, 4)))
    shape = ShapeOf(x=x)
    batch = Gather(x=shape.result, indices=Weight("zero", np.array(0)))
    rest = Gather(x=shape.result, indices=Weight("two", np.array([-1])))
    whole = Concat(xs=[Unsqueeze(x=batch.result, axes=(0,)).result, rest.result], axis=0)
    assert known_shape(whole.result) == ("N", 4)
    value = rest.result
    for i in range(3000):
        value = Add(a=value, b=Weight(f"one{i}", np.array([1]))).result
    assert value.type.dtype is DType.I64
    assert known_shape(value) == (3004,)
