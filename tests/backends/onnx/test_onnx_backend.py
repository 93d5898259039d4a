"""The artefact in onnxruntime against the interpreter."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from quantised_eenns import quantised
from random_eenns import CLASSES, clearance, eenn, samples, segmented

from eennc.backends.onnx import OnnxBackend
from eennc.backends.onnx.emission import early_exit_model
from eennc.interop.onnx.execute import run_opaque
from eennc.interop.onnx.session import Session
from eennc.ir.cuts import all_scores, exits_of, without_exits
from eennc.ir.graph import Module
from eennc.ir.interpreter import run_graph, run_module
from eennc.ir.ops.exit import Exit
from eennc.passes.base import Context
from eennc.passes.layout.channels_last import ChannelsLast
from eennc.support.diagnostics import UserError

INTEGER_RULES = ["max_probability", "margin"]


def compared(module: Module, x: np.ndarray, *, free: bool, **options: int) -> np.ndarray:
    """Emit `module`, check it, run it on `x`, compare with the interpreter; returns the exits taken."""
    model = early_exit_model(segmented(module), free=free, **options)
    onnx.checker.check_model(model, full_check=True)
    session = Session(model, threads=1)
    runs = [x] if free else [x[i : i + 1] for i in range(len(x))]
    scores, exit = (np.concatenate(parts) for parts in zip(*(session.run(run) for run in runs), strict=True))
    if "batch" in module.attributes:
        parts = [run_module(module, [run]) for run in runs]
        expected = np.concatenate([part.scores for part in parts])
        wanted = np.concatenate([part.exit for part in parts])
    else:
        outcome = run_module(module, [x], opaque=run_opaque)
        expected, wanted = outcome.scores, outcome.exit
    assert scores.dtype == np.float32
    assert exit.dtype == np.int64
    np.testing.assert_array_equal(exit, wanted)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-4 * max(1.0, float(np.abs(expected).max())))
    return exit


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("kind", ["logits", "probabilities"])
@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("exits", [0, 1, 2, 4])
def test_every_sample_leaves_where_the_interpreter_says(exits: int, dims: int, kind: str, free: bool) -> None:
    x = samples(32, dims)
    for seed in range(2):
        found = compared(eenn(seed, exits, dims=dims, kind=kind), x, free=free)
        assert set(found) == set(range(exits + 1))


@settings(max_examples=15)
@given(
    rule=st.sampled_from(["max_probability", "margin", "entropy"]),
    seed=st.integers(0, 99),
    exits=st.integers(0, 4),
    dims=st.integers(1, 2),
    kind=st.sampled_from(["logits", "probabilities"]),
    free=st.booleans(),
    n=st.integers(1, 9),
    deepest=st.integers(1, 4),
)
def test_any_network(rule: str, seed: int, exits: int, dims: int, kind: str, free: bool, n: int, deepest: int) -> None:
    module, x = eenn(seed, exits, dims=dims, kind=kind, rule=rule, width=8), samples(n, dims)
    # nearer ones leave here or there by how sums are rounded: confidences of nearly 1 are often that near to each other
    assume(clearance(module, x) > 1e-6)
    compared(module, x, free=free, deepest=deepest)


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("rule", ["max_probability", "margin", "entropy"])
@pytest.mark.parametrize(("kind", "evident"), [("logits", False), ("probabilities", False), ("probabilities", True)])
def test_rules(rule: str, kind: str, evident: bool, free: bool) -> None:
    module = eenn(0, 2, kind=kind, rule=rule, evident=evident)
    assert set(compared(module, samples(32), free=free)) == {0, 1, 2}


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("deepest", [1, 20])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("dims", "kind"), [(1, "logits"), (2, "logits"), (2, "probabilities")])
@pytest.mark.parametrize("rule", INTEGER_RULES)
def test_integers(rule: str, dims: int, kind: str, last: bool, deepest: int, free: bool) -> None:
    """onnxruntime rounds in floats, so a step may be another one in each layer."""
    module = quantised(eenn(1, 3, dims=dims, kind=kind), dims, rule)
    x = samples(64, dims)
    expected = run_module(module, [x])
    quant = module.main.returns[0].type.quant
    lowered = module.copy()
    if last:
        ChannelsLast(networks="quantised").run(lowered, Context())
    model = early_exit_model(segmented(lowered), free=free, deepest=deepest)
    onnx.checker.check_model(model, full_check=True)
    session = Session(model, threads=1)
    runs = [x] if free else [x[i : i + 1] for i in range(len(x))]
    scores, exit = (np.concatenate(parts) for parts in zip(*(session.run(run) for run in runs), strict=True))
    same = exit == expected.exit
    assert same.mean() > 0.9
    steps = (scores / np.float32(quant.scale) + quant.zero_point)[same]
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
    assert np.abs(steps - expected.scores[same]).max() < 3.5
    assert set(exit) == {0, 1, 2, 3}
    # one level is one step of the integer logits
    (first, *_) = exits_of(module.main)
    assert first.levels() > 1


@pytest.mark.parametrize("n", [1, 2, 7, 32])
def test_a_free_batch_takes_any_number_of_samples(n: int) -> None:
    module = eenn(3, 3)
    x = samples(64)
    for start in (0, 5, 30):
        compared(module, x[start : start + n], free=True)


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("deepest", [1, 20])
def test_all_leave_at_one_exit(free: bool, deepest: int) -> None:
    module = eenn(0, 3)
    x = samples(7)
    for leaving in range(4):
        for exit in exits_of(module.main):
            exit.attrs["threshold"] = 0.0 if exit.exit == leaving else float("inf")
        assert set(compared(module, x, free=free, deepest=deepest)) == {leaving}


@pytest.mark.parametrize("free", [False, True])
def test_more_exits_than_protobuf_can_nest(free: bool) -> None:
    found = compared(eenn(1, 45, width=8), samples(64), free=free)
    assert set(found) == set(range(46))


def test_a_network_with_a_baked_batch_of_one(tmp_path: Path) -> None:
    module = eenn(2, 2, batch=1)
    compared(module, samples(8), free=False)
    emitted = OnnxBackend(batch="free").emit(segmented(module), without_exits(module.main), tmp_path)
    assert emitted.batch == 1
    assert Session(tmp_path / "model.onnx").inputs[0].shape[0] == 1


def test_a_baked_batch_of_more_is_refused(tmp_path: Path) -> None:
    module = eenn(2, 1, batch=4)
    with pytest.raises(UserError, match="takes 4 samples at once"):
        OnnxBackend().emit(segmented(module), without_exits(module.main), tmp_path)


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_confidence_is_that_of_the_exit(kind: str) -> None:
    """A threshold just above or below a sample's confidence decides as the interpreter does."""
    module = eenn(5, 1, kind=kind)
    (exit,) = exits_of(module.main)
    x = samples(6)
    scores = run_graph(module, all_scores(module.main), [x])[0]
    for sample, confidence in zip(x, exit.confidence(scores), strict=True):
        for threshold, leaves in ((confidence * (1 - 1e-5), True), (confidence * (1 + 1e-5), False)):
            exit.attrs["threshold"] = float(threshold)
            session = Session(early_exit_model(segmented(module), free=False))
            assert session.run(sample[None])[1][0] == (0 if leaves else 1)


def test_a_probability_of_zero_is_no_nan() -> None:
    module = eenn(5, 1, kind="probabilities")
    (exit,) = exits_of(module.main)
    exit.attrs["temperature"] = 1.5
    # logits so far apart that all but one probability underflow
    x = samples(6) * 1e4
    assert (run_graph(module, all_scores(module.main), [x])[0] == 0).any()
    assert set(compared(module, x, free=True)) == {0}


@pytest.mark.parametrize("batch", [1, "free"])
def test_files(batch: int | str, tmp_path: Path) -> None:
    module = eenn(4, 2)
    emitted = OnnxBackend(batch=batch).emit(segmented(module), without_exits(module.main), tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["base.onnx", "model.onnx"]
    assert emitted.batch == (1 if batch == 1 else None)
    model, base = Session(tmp_path / emitted.model), Session(tmp_path / str(emitted.base))
    free = "N" if batch == "free" else 1
    assert [(port.name, port.shape) for port in model.inputs] == [("input", (free, 3, 8, 6))]
    assert [(port.name, port.shape) for port in model.outputs] == [("scores", (free, CLASSES)), ("exit", (free,))]
    assert [(port.name, port.shape) for port in base.outputs] == [("scores", (free, CLASSES))]
    x = samples(1)
    expected = run_graph(module, without_exits(module.main), [x])[0]
    np.testing.assert_allclose(base.run(x)[0], expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("deepest", [1, 20])
@pytest.mark.parametrize("integer", [False, True])
@pytest.mark.parametrize("input_name", ["input", "point"])
def test_operating_points(input_name: str, integer: bool, deepest: int, free: bool) -> None:
    """At each point, onnxruntime decides to the bit as with a model that has only its thresholds."""
    module = eenn(2, 3, rule="margin", input_name=input_name)
    module = quantised(module, 2) if integer else module
    exits = exits_of(module.main)
    module.attributes["points"] = ("saver", "never", "half")
    for exit in exits:
        exit.attrs["points"] = (exit.threshold * 0.5, float("inf"), 0.0 if exit.exit == 1 else float("inf"))
    model = early_exit_model(segmented(module), free=free, deepest=deepest)
    onnx.checker.check_model(model, full_check=True)
    optional = "point_1" if input_name == "point" else "point"
    assert [info.name for info in model.graph.input] == [input_name, optional]
    session = Session(model, threads=1)
    # an input with a default need not be given, and is not among those that must
    assert [port.name for port in session.inputs] == [input_name]
    x = samples(24)
    runs = [x] if free else [x[i : i + 1] for i in range(len(x))]

    def found(session: Session, more: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        parts = [session.run({input_name: run, **more}) for run in runs]
        return tuple(np.concatenate(part) for part in zip(*parts, strict=True))

    seen = set()
    for number in range(4):
        alone = module.copy()
        for exit in exits_of(alone.main):
            exit.attrs["threshold"] = (exit.threshold, *exit.points)[number]
        if not integer:
            np.testing.assert_array_equal(found(session, {optional: np.array(number)})[1], run_module(alone, [x]).exit)
        del alone.attributes["points"]
        plain = Session(early_exit_model(segmented(alone), free=free, deepest=deepest), threads=1)
        for got, wanted in zip(found(session, {optional: np.array(number)}), found(plain, {}), strict=True):
            np.testing.assert_array_equal(got, wanted)
        seen.add(tuple(found(plain, {})[1]))
    assert len(seen) == 4
    for got, wanted in zip(found(session, {}), found(session, {optional: np.array(0)}), strict=True):
        np.testing.assert_array_equal(got, wanted)
    with pytest.raises((UserError, RuntimeError)):
        found(session, {optional: np.array(4)})


def test_a_network_in_half_precision() -> None:
    module = eenn(6, 1)
    model = early_exit_model(segmented(as_half(module)), free=True)
    onnx.checker.check_model(model, full_check=True)
    x = samples(5)
    scores, exit = Session(model).run(x.astype(np.float16))
    assert scores.dtype == np.float16
    wanted = run_module(module, [x])
    np.testing.assert_array_equal(exit, wanted.exit)
    np.testing.assert_allclose(scores.astype(np.float32), wanted.scores, atol=0.05 * np.abs(wanted.scores).max())


def as_half(module: Module) -> Module:
    """The same network in float16; exits stay as they are."""
    from eennc.ir.graph import Graph
    from eennc.ir.types import DType, TensorType
    from eennc.ir.values import Argument, Value, Weight

    main = module.main
    arguments = [Argument(a.name, TensorType(a.type.shape, DType.F16)) for a in main.arguments]
    values: dict[Value, Value] = dict(zip(main.arguments, arguments, strict=True))
    values.update((w, Weight(w.name, w.array.astype(np.float16))) for w in main.weights())
    graph = Graph("main", arguments)
    for op in main.ops:
        copied = op.rebuilt([None if v is None else values[v] for v in op.operands])
        values.update(zip(op.results, graph.add(copied).results, strict=True))
    graph.returns = [values[value] for value in main.returns]
    assert any(isinstance(op, Exit) for op in graph.ops)
    return Module("half", graph, stage="exits-placed", attributes=module.attributes)
