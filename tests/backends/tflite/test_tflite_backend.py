"""One .tflite with the exits inside, in LiteRT and TFLite Micro, against the numpy interpreter."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quantised_eenns import quantised
from random_eenns import CLASSES, eenn, samples
from tflite_runs import Micro, micro

from eennc.backends.tflite import TfliteBackend
from eennc.backends.tflite.emission import early_exit_model
from eennc.interop.tflite.session import LiteSession
from eennc.ir.cuts import all_evidence, exits_of, without_exits
from eennc.ir.graph import Module
from eennc.ir.interpreter import run_graph, run_module
from eennc.ir.values import Weight
from eennc.passes.base import Context
from eennc.passes.exits.form_segments import FormSegments
from eennc.passes.layout.channels_last import ChannelsLast

SAMPLES = 24


def lowered(module: Module) -> Module:
    copy = module.copy()
    for p in (ChannelsLast(), FormSegments()):
        p.run(copy, Context())
    return copy


def in_litert(model: bytes, x: np.ndarray, *, reference: bool) -> tuple[np.ndarray, np.ndarray]:
    session = LiteSession(model, reference=reference)
    runs = [session.run(x[i : i + 1]) for i in range(len(x))]
    return tuple(np.concatenate(column) for column in zip(*runs, strict=True))


def in_micro(model: bytes, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    interpreter = Micro(model)
    runs = [interpreter.run([x[i : i + 1]], 2) for i in range(len(x))]
    return tuple(np.concatenate(column) for column in zip(*runs, strict=True))


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    exits=st.integers(0, 3),
    dims=st.sampled_from([1, 2]),
    kind=st.sampled_from(["logits", "probabilities"]),
    rule=st.sampled_from(["max_probability", "margin", "entropy"]),
    evident=st.booleans(),
)
def test_floats(seed: int, exits: int, dims: int, kind: str, rule: str, evident: bool) -> None:
    module = eenn(seed, exits, dims=dims, kind=kind, rule=rule, evident=evident and kind == "probabilities")
    x = samples(SAMPLES, dims, seed)
    expected = run_module(module, [x])
    model = early_exit_model(lowered(module))
    for scores, exit in (in_litert(model, x, reference=False), in_micro(model, x[:6])):
        assert exit.dtype == np.int32
        n = len(exit)
        margins = confidences(module, x[:n])
        # floats may round to the other side of a threshold that they lie on
        clear = np.all(np.abs(margins) > 1e-5, axis=0)
        np.testing.assert_array_equal(exit[clear], expected.exit[:n][clear])
        same = exit == expected.exit[:n]
        np.testing.assert_allclose(
            scores[same], expected.scores[:n][same], atol=1e-5 * max(1, np.abs(expected.scores).max()), rtol=1e-4
        )


def confidences(module: Module, x: np.ndarray) -> np.ndarray:
    """Confidence less threshold, relative, [exits, n]."""
    exits = exits_of(module.main)
    evidence = run_graph(module, all_evidence(module.main), [x])[len(exits) + 1 :]
    found = [exit.confidence(e) / max(exit.threshold, 1e-6) - 1 for exit, e in zip(exits, evidence, strict=True)]
    return np.array(found).reshape(len(exits), len(x))


@pytest.mark.parametrize(
    ("dims", "exits", "kind"), [(1, 2, "logits"), (2, 3, "logits"), (2, 1, "probabilities"), (1, 2, "probabilities")]
)
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("rule", ["max_probability", "margin"])
def test_integers_bit_for_bit(rule: str, dims: int, exits: int, kind: str, seed: int) -> None:
    module = quantised(eenn(seed, exits, dims=dims, kind=kind), dims, rule)
    x = samples(SAMPLES, dims, seed)
    expected = run_module(module, [x])
    assert len(set(expected.exit.tolist())) == exits + 1
    model = early_exit_model(lowered(module), io="float")
    quant = module.main.returns[0].type.quant
    real = (expected.scores.astype(np.float32) - np.float32(quant.zero_point)) * np.float32(quant.scale)
    # LiteRT's FULLY_CONNECTED rounds once where the reference rounds twice (docs/int8.md)
    for (scores, exit), steps in ((in_litert(model, x, reference=True), 1), (in_micro(model, x), 0)):
        np.testing.assert_array_equal(exit, expected.exit)
        np.testing.assert_allclose(scores, real, rtol=0, atol=1.01 * steps * quant.scale)
    first = module.main.ops[0]
    assert first.name == "q.quantize"
    taken = first.evaluate(x)
    model = early_exit_model(lowered(module), io="int8")
    scores, exit = in_micro(model, taken)
    assert scores.dtype == np.int8
    np.testing.assert_array_equal(scores, expected.scores)
    np.testing.assert_array_equal(exit, expected.exit)
    scores, exit = in_litert(model, x, reference=True)
    np.testing.assert_allclose(scores, real, rtol=0, atol=1.01 * quant.scale)
    np.testing.assert_array_equal(exit, expected.exit)


@pytest.mark.parametrize("what", ["threshold", "weight", "bias"])
def test_one_step_is_seen(what: str) -> None:
    """The comparison above fails where one number differs by one."""
    module = quantised(eenn(3, 1, dims=2), 2)
    x = samples(3000, 2)
    expected = run_module(module, [x])
    (exit,) = exits_of(module.main)
    head = exit.scores.op
    if what == "threshold":
        exit.attrs["threshold"] = float(exit.threshold + exit.unit / exit.temperature)
    else:
        weight = getattr(head, what)
        array = weight.array.copy()
        array.flat[0] += 1
        head.operands[head.operand_index(what)] = Weight(weight.name, array)
    scores, answered = in_micro(early_exit_model(lowered(module), io="int8"), module.main.ops[0].evaluate(x))
    assert (scores != expected.scores).any() or (answered != expected.exit).any()


def emitted(module: Module, folder, **options) -> TfliteBackend:
    target = TfliteBackend(**options)
    laid = module.copy()
    ChannelsLast().run(laid, Context())
    target.emit(lowered(module), without_exits(laid.main), folder)
    return target


def test_names_signature_and_facts(tmp_path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    module = eenn(1, 2, dims=2, input_name="image")
    emitted(module, tmp_path)
    content = (tmp_path / "model.tflite").read_bytes()
    assert content[4:8] == b"TFL3"
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    (signature,) = model.signatureDefs
    assert [entry.name for entry in signature.inputs] == [b"image"]
    assert sorted(entry.name for entry in signature.outputs) == [b"exit", b"scores"]
    main = model.subgraphs[0]
    assert [tuple(main.tensors[i].shape) for i in main.outputs] == [(1, CLASSES), (1,)]
    names = [tensor.name.decode() for tensor in main.tensors]
    assert "block0/answer" in names
    assert [graph.name.decode() for graph in model.subgraphs] == [
        "main", "block0 leaves", "block0 goes on", "block1 leaves", "block1 goes on",
    ]  # fmt: skip
    (entry,) = [entry for entry in model.metadata if entry.name == b"eennc"]
    facts = json.loads(bytes(model.buffers[entry.buffer].data))
    assert [exit["threshold"] for exit in facts["exits"]] == [exit.threshold for exit in exits_of(module.main)]
    assert not model.buffers[0].data.size if model.buffers[0].data is not None else True


def test_the_base_network_lies_beside(tmp_path) -> None:
    module = eenn(1, 2, dims=1)
    emitted(module, tmp_path)
    x = samples(5, 1)
    base = without_exits(module.main)
    (expected,) = run_graph(module, base, [x])
    session = LiteSession(tmp_path / "base.tflite")
    found = np.concatenate([session.run(x[i : i + 1])[0] for i in range(5)])
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_stages(tmp_path) -> None:
    """Each segment and head alone: their chain gives what the whole network gives."""
    module = quantised(eenn(1, 2, dims=2), 2)
    emitted(module, tmp_path, stages=True)
    assert {path.name for path in tmp_path.iterdir()} == {
        "model.tflite", "base.tflite", "segment0.tflite", "segment1.tflite", "segment2.tflite", "head0.tflite",
        "head1.tflite",
    }  # fmt: skip
    x = samples(6, 2)
    low = lowered(module)
    evidence = run_graph(module, all_evidence(module.main), [x])
    for number in range(len(x)):
        values = {low.main.arguments[0]: x[number : number + 1]}
        answers = []
        for op in low.main.ops:
            if op.name == "ee.exit":
                values.update({result: values[value] for result, value in zip(op.results, op.carry, strict=True)})
                answers.append(values[op.scores])
                continue
            content = (tmp_path / f"{op.callee}.tflite").read_bytes()
            found = micro(content, [values[value] for value in op.args], len(op.results))
            values.update(zip(op.results, found, strict=True))
        answers.append(values[low.main.returns[0]])
        for answer, table in zip(answers, evidence, strict=False):
            np.testing.assert_array_equal(answer[0], table[number])
