"""Sessions, running graphs over data sets, saving models."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx_text import network

from eennc.interop.onnx.execute import execute, run_opaque, session_of
from eennc.interop.onnx.reader import module_from_proto, read_model
from eennc.interop.onnx.session import Session
from eennc.interop.onnx.writer import Emitter, plain_model, save_model, value_info
from eennc.ir.graph import Graph
from eennc.ir.interpreter import run_graph
from eennc.ir.ops.candidate import Candidate
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.relu import Relu
from eennc.ir.types import DType, TensorType
from eennc.ir.values import Argument, Weight
from eennc.support.diagnostics import UserError

RANDOM = np.random.default_rng(0)


def two_layers(batch: int | str = "N") -> Graph:
    x = Argument("x", TensorType((batch, 2, 5, 5)))
    conv = Conv(
        x=x,
        weight=Weight("conv.weight", RANDOM.standard_normal((40, 2, 3, 3)).astype(np.float32)),
        bias=Weight("conv.bias", RANDOM.standard_normal(40).astype(np.float32)),
        activation="relu6",
    )
    mark = Candidate(x=conv.result, place="conv")
    other = Relu(x=conv.result)
    return Graph("main", [x], [conv, mark, other], [conv.result, other.result])


class Steps:
    """A Progress that counts."""

    def __init__(self) -> None:
        self.total = self.done = self.finished = 0

    def task(self, label: str, total: int) -> int:
        self.total = total
        return 7

    def advance(self, task: int, steps: int) -> None:
        assert task == 7
        self.done += steps

    def finish(self, task: int) -> None:
        self.finished += 1

    def note(self, text: str) -> None:
        raise AssertionError(text)

    warn = note


@pytest.mark.parametrize("batch", ["N", 1, 3])
def test_execute_runs_all_samples_whatever_the_batch(batch: int | str) -> None:
    graph = two_layers(batch)
    x = RANDOM.standard_normal((10, 2, 5, 5)).astype(np.float32)
    steps = Steps()
    found = execute(graph, x, batch=4, progress=steps, threads=1)
    assert (steps.total, steps.done, steps.finished) == (10, 10, 1)
    conv = graph.ops[0]
    expected = conv.evaluate(x, *(value.array for value in conv.operands[1:]))  # type: ignore[union-attr]
    for part in found:
        np.testing.assert_allclose(part, expected, rtol=1e-5, atol=1e-5)
    again = execute(graph, x, batch=4, threads=1)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(found, again, strict=True))


def test_execute_of_no_samples_and_of_wrong_ones() -> None:
    graph = two_layers()
    assert [part.shape for part in execute(graph, np.zeros((0, 2, 5, 5), np.float32))] == [(0, 40, 3, 3)] * 2
    assert [part.shape for part in execute(two_layers(2), np.zeros((0, 2, 5, 5), np.float32))] == [(0, 40, 3, 3)] * 2
    for wrong in (np.zeros((3, 2, 5, 4), np.float32), np.zeros((3, 2, 5, 5)), np.zeros((3, 50), np.float32)):
        with pytest.raises(ValueError, match="the graph takes"):
            execute(graph, wrong)


def test_weights_given_to_a_session_are_not_copied_into_the_model() -> None:
    x = Argument("x", TensorType(("N", 3, 6)))
    dense = Dense(
        x=x,
        weight=Weight("w", RANDOM.standard_normal((40, 6)).astype(np.float32)),
        bias=Weight("b", np.ones(40, np.float32)),
    )
    graph = Graph("main", [x], [dense], [dense.result])
    data = RANDOM.standard_normal((2, 3, 6)).astype(np.float32)
    expected = dense.evaluate(data, *(value.array for value in dense.operands[1:]))  # type: ignore[union-attr]
    np.testing.assert_allclose(session_of(graph).run(data)[0], expected, rtol=1e-5, atol=1e-5)


def test_opaque_ops_run_alone() -> None:
    body = """
        q = Greater (x, zero)
        a = Where (q, x, zero)
        v, i = TopK (a, k)
        y = Gemm (v, w)
    """
    weights = {"zero": np.float32(0), "k": np.array([2], np.int64), "w": (2, 3)}
    module = module_from_proto(network(body, weights=weights), "net")
    for samples in (1, 4):
        x = RANDOM.standard_normal((samples, 4)).astype(np.float32)
        (found,) = run_graph(module, module.main, [x], opaque=run_opaque)
        (expected,) = execute(module.main, x)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_ports_and_named_outputs() -> None:
    session = Session(plain_model(two_layers(), outputs=["p", "q"], name="net"), threads=1)
    (port,) = session.inputs
    assert (port.name, port.dtype, port.shape) == ("x", DType.F32, ("N", 2, 5, 5))
    assert [port.shape for port in session.outputs] == [("N", 40, 3, 3)] * 2
    assert len(session.run({"x": np.zeros((1, 2, 5, 5), np.float32)}, ["q"])) == 1


def test_errors_of_onnxruntime(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="onnxruntime cannot load the model"):
        Session(tmp_path / "missing.onnx")
    (tmp_path / "junk.onnx").write_bytes(b"\x08\x08junk")
    with pytest.raises(UserError, match="onnxruntime cannot load the model"):
        Session(tmp_path / "junk.onnx")
    with pytest.raises(RuntimeError, match="onnxruntime cannot load the model"):
        Session(b"\x08\x08junk")
    with pytest.raises(UserError, match="acme"):
        Session(network("y = acme.Relu (x)", y="float[N, 4]", domains=', "acme" : 1'))
    session = Session(network("y = Relu (x)", y="float[N, 4]"))
    with pytest.raises(UserError, match="onnxruntime cannot run the model"):
        session.run(np.zeros((2, 5), np.float32))
    with pytest.raises(UserError, match="onnxruntime cannot run the model"):
        session.run(np.zeros((2, 4)))


@pytest.mark.parametrize("external", [False, True])
def test_saved_models_are_equal_to_the_byte(external: bool, tmp_path: Path) -> None:
    graph = two_layers()
    contents: list[list[bytes]] = []
    for folder in ("a", "b"):
        model = plain_model(graph, outputs=["p", "q"], name="net")
        written = save_model(model, tmp_path / folder / "model.onnx", external_above=0 if external else 10**9)
        assert [path.name for path in written] == ["model.onnx", "model.onnx.data"][: 1 + external]
        assert sorted((tmp_path / folder).iterdir()) == sorted(written)
        contents.append([path.read_bytes() for path in written])
    assert contents[0] == contents[1]
    assert (len(contents[0][0]) < 2000) == external
    path = tmp_path / "a" / "model.onnx"
    onnx.checker.check_model(str(path), full_check=True)
    x = RANDOM.standard_normal((2, 2, 5, 5)).astype(np.float32)
    np.testing.assert_array_equal(Session(path).run(x)[0], execute(graph, x)[0])


def test_a_module_that_was_saved_reads_with_equal_weights(tmp_path: Path) -> None:
    graph = two_layers()
    graph.returns = graph.returns[:1]
    path = tmp_path / "model.onnx"
    save_model(plain_model(graph, outputs=["p"], name="net"), path, external_above=0)
    read = {weight.name: weight.array for weight in read_model(path).weights()}
    for weight in graph.weights():
        np.testing.assert_array_equal(read[weight.name], weight.array)


@pytest.mark.parametrize("external", [False, True])
def test_branches_have_initializers_of_their_own(external: bool, tmp_path: Path) -> None:
    """As the backend uses emitters: a weight in both branches of an If, a captured value, weights beside the model."""
    x = Argument("x", TensorType((1, 30)))
    first = Dense(x=x, weight=Weight("w", RANDOM.standard_normal((30, 30)).astype(np.float32)))
    again = Dense(x=first.result, weight=first.weight)
    root = Emitter()
    root.bind(x, "x")
    root.emit([first])
    total = root.node("ReduceSum", [first.result], keepdims=0)
    test = root.node("Greater", [total, root.constant(np.array(0, np.float32), "zero")])
    branches = []
    for name, ops in (("leave", []), ("go", [again])):
        child = root.child()
        child.emit(ops)
        output = child.returned(ops[-1].result if ops else first.result, f"{name}.scores")
        branches.append(child.graph(name, [], [value_info(output, first.result.type)]))
    (scores,) = [root.node("If", [test], hint="scores", then_branch=branches[0], else_branch=branches[1])]
    model = root.model("net", [value_info("x", x.type)], [value_info(scores, first.result.type)])
    path = tmp_path / "model.onnx"
    save_model(model, path, external_above=0 if external else 10**9)
    onnx.checker.check_model(str(path), full_check=True)
    names = [tensor.name for tensor in onnx.load(path).graph.initializer]
    assert names == ["w", "zero"]
    inner = onnx.load(path).graph.node[-1].attribute[0].g
    assert [tensor.name for tensor in inner.initializer] == ["w_1"]
    session = Session(path)
    for sign in (1, -1):
        data = sign * np.abs(RANDOM.standard_normal((1, 30))).astype(np.float32)
        here = first.evaluate(data, first.weight.array, None)  # type: ignore[union-attr]
        expected = here if here.sum() > 0 else again.evaluate(here, first.weight.array, None)  # type: ignore[union-attr]
        np.testing.assert_allclose(session.run(data)[0], expected, rtol=1e-4, atol=1e-4)


def test_two_names_of_one_model_do_not_collide() -> None:
    emitter = Emitter()
    emitter.bind(Argument("x", TensorType(("N", 2))), "x")
    with pytest.raises(ValueError, match="called 'x'"):
        emitter.bind(Argument("y", TensorType(("N", 2))), "x")
    with pytest.raises(KeyError):
        emitter.name_of(Argument("z", TensorType(("N", 2))))
    assert emitter.fresh("x") == "x_1"
