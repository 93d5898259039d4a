"""Every op of the IR through ONNX: onnxruntime against the op's own meaning, and back through the reader."""

import numpy as np
import pytest

import eennc.ir.ops
from eennc.interop.onnx.reader import module_from_proto
from eennc.interop.onnx.registry import READINGS, WRITINGS, load_forms
from eennc.interop.onnx.session import Session
from eennc.interop.onnx.writer import plain_model
from eennc.ir.graph import Graph
from eennc.ir.op import OPS, Case, Op
from eennc.ir.ops.identity import Identity
from eennc.ir.ops.reshape import Reshape
from eennc.ir.ops.slice import Slice
from eennc.ir.types import Array, Layout, TensorType
from eennc.ir.values import Argument, Value, Weight
from eennc.ir.verifier import verify
from eennc.support.registry import import_folder

import_folder(eennc.ir.ops)
CASES = [
    pytest.param(OPS.get(name), case, id=f"{name}-{case.label}")
    for name in OPS
    for case in OPS.get(name).cases()
    if name.startswith(("nn.", "shape."))
]
MOVES = """
    concat fill flatten gather identity pad reshape slice squeeze transpose unsqueeze max_pool relu clip
"""


def graph_of(cls: type[Op], case: Case) -> tuple[Graph, list[Array]]:
    random = np.random.default_rng(0)
    arguments: list[Argument] = []
    feeds: list[Array] = []
    fields: dict[str, object] = {}
    values: list[Value | None] = []
    for index, operand in enumerate(case.operands):
        if isinstance(operand, TensorType):
            arguments.append(Argument(f"x{index}", operand))
            drawn = random.uniform(case.low, case.high, operand.concrete(case.batch))
            if operand.quant is not None:
                drawn = random.integers(-128, 128, drawn.shape)
            elif not operand.dtype.is_float:
                drawn = np.abs(drawn * 50)
            feeds.append(drawn.astype(operand.dtype.numpy))
            values.append(arguments[-1])
        else:
            values.append(None if operand is None else Weight(f"w{index}", operand))
    for index, slot in enumerate(cls.operand_fields):
        fields[slot.name] = values[index:] if slot.variadic else (values[index] if index < len(values) else None)
    op = cls(**fields, **case.attrs)
    return Graph("main", arguments, [op], list(op.results)), feeds


def test_every_op_has_a_form() -> None:
    load_forms()
    ops = {name for name in OPS if name.startswith(("nn.", "shape.", "onnx.", "q."))}
    # a backend of C makes q.table when all else is done
    assert ops - {"q.table"} <= set(WRITINGS)
    assert len(READINGS) > 30


@pytest.mark.parametrize(("cls", "case"), CASES)
def test_onnxruntime_gives_what_the_op_means(cls: type[Op], case: Case) -> None:
    graph, feeds = graph_of(cls, case)
    model = plain_model(graph, outputs=["y"], name="case")
    (op,) = graph.ops
    expected = op.evaluate(*_operands(op, graph, feeds))
    (found,) = Session(model).run({a.name: feed for a, feed in zip(graph.arguments, feeds, strict=True)})
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    if cls.name.partition(".")[2] in MOVES.split():
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * max(np.abs(expected).max(), 1e-30))


QUANTISED = [
    pytest.param(OPS.get(name), case, id=f"{name}-{case.label}")
    for name in OPS
    for case in OPS.get(name).cases()
    if name.startswith("q.") and name != "q.table"
]


@pytest.mark.parametrize(("cls", "case"), QUANTISED)
def test_integers_are_within_one_step(cls: type[Op], case: Case) -> None:
    """Operands in integers, operators between DequantizeLinear and QuantizeLinear: only the rounding may differ."""
    graph, feeds = graph_of(cls, case)
    (op,) = graph.ops
    expected = op.evaluate(*_operands(op, graph, feeds))
    model = plain_model(graph, outputs=["y"], name="case")
    # ONNX has bytes where the dialect has int8
    bytes_ = [feed if feed.dtype != np.int8 else (feed.astype(int) + 128).astype(np.uint8) for feed in feeds]
    (found,) = Session(model).run({a.name: feed for a, feed in zip(graph.arguments, bytes_, strict=True)})
    assert found.shape == expected.shape
    if expected.dtype == np.int8:
        assert found.dtype == np.uint8
        found = found.astype(int) - 128
        assert len(np.unique(expected)) > 3
        difference = np.abs(found.astype(int) - expected)
        exact = cls.name in ("q.concat", "q.reshape", "q.slice", "q.transpose", "q.pad", "q.max_pool")
        assert difference.max() <= (0 if exact else 1)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def _operands(op: Op, graph: Graph, feeds: list[Array]) -> list[Array | None]:
    known = dict(zip(graph.arguments, feeds, strict=True))
    return [v.array if isinstance(v, Weight) else None if v is None else known[v] for v in op.operands]


FIRST = [
    param
    for param in CASES
    if not any(getattr(operand, "layout", None) is Layout.CHANNELS_LAST for operand in param.values[1].operands)
]
"""Channels-last maps are written with transposes around the op."""


@pytest.mark.parametrize(("cls", "case"), FIRST)
def test_an_op_that_is_written_reads_as_itself(cls: type[Op], case: Case) -> None:
    graph, _ = graph_of(cls, case)
    if not graph.arguments:
        graph.arguments.append(Argument("x", TensorType(("N", 2))))
    graph = with_one_argument(graph)
    (op,) = [op for op in graph.ops if isinstance(op, cls) and op.result is graph.returns[0]]
    module = module_from_proto(plain_model(graph, outputs=["y"], name="case"), "case")
    verify(module)
    assert module.main.returns[0].type == graph.returns[0].type
    read = module.main.ops
    last = read[-1]
    if op.attrs.get("activation", "none") != "none":
        assert last.name == ("nn.relu" if op.attrs["activation"] == "relu" else "nn.clip")
        read = read[:-1]
    if cls.name == "nn.dense" and op.operands[0].type.rank != 2:
        if op.operands[2] is not None:
            assert read[-1].name == "nn.add"
            read = read[:-1]
        assert read[-1].name == "nn.dense"
        return
    same = read[-1]
    assert type(same) is cls
    assert {**same.attrs, "activation": 0} == {**op.attrs, "activation": 0} or _axes_from_front(same, op)
    for ours, theirs in zip(op.operands, same.operands, strict=True):
        assert (ours is None) == (theirs is None)
        if isinstance(ours, Weight):
            assert isinstance(theirs, Weight)
            assert theirs.name == ours.name
            np.testing.assert_array_equal(ours.array, theirs.array)


def _axes_from_front(same: Op, op: Op) -> bool:
    """Negative axes may come back as positive ones."""
    return {**same.attrs, "axes": 0} == {**op.attrs, "axes": 0} and same.results[0].type == op.results[0].type


def with_one_argument(graph: Graph) -> Graph:
    """Arguments besides the first become slices of the first, since the reader takes networks of one input."""
    if len(graph.arguments) == 1:
        return graph
    sizes = [argument.type.elements() for argument in graph.arguments]
    whole = Argument("x", TensorType(("N", sum(sizes))))
    ops: list[Op] = []
    by: dict[Value, Value] = {}
    start = 0
    for argument, size in zip(graph.arguments, sizes, strict=True):
        part = Slice(x=whole, starts=(start,), ends=(start + size,), axes=(1,), steps=(1,))
        shaped = Reshape(x=part.result, shape=(-1, *argument.type.shape[1:]))
        ops += [part, shaped]
        by[argument] = shaped.result
        start += size
    graph.ops = [*ops, *graph.ops]
    graph.arguments = [whole]
    graph.substitute(by)
    return graph


def test_the_same_graph_gives_the_same_bytes() -> None:
    for parameters in CASES:
        cls, case = parameters.values
        texts = {plain_model(graph_of(cls, case)[0], outputs=["y"], name="m").SerializeToString() for _ in range(2)}
        assert len(texts) == 1


def test_returned_arguments_weights_and_repeats_get_an_identity() -> None:
    x = Argument("x", TensorType(("N", 3)))
    op = Identity(x=x)
    weight = Weight("w", np.arange(4, dtype=np.float32))
    model = plain_model(Graph("main", [x], [op], [x, op.result, op.result, weight]), outputs=list("abcd"), name="m")
    data = np.ones((2, 3), np.float32)
    found = Session(model).run(data)
    assert [port.name for port in Session(model).outputs] == list("abcd")
    for array, expected in zip(found, [data, data, data, weight.array], strict=True):
        np.testing.assert_array_equal(array, expected)
