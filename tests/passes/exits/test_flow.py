"""Dominators, against their definition: without the value, nothing leads from the input to the output."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from eennc.ir.graph import Graph
from eennc.ir.op import Op
from eennc.ir.ops.opaque import Opaque
from eennc.ir.types import TensorType
from eennc.ir.values import Argument, Value, Weight
from eennc.passes.exits.flow import chain_of, dominators, fed

TYPE = TensorType(("N", 2))


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Ops of any number of operands (weights among them) and results, some of them dead."""
    graph = Graph("main", [Argument("x", TYPE)])
    values: list[Value] = [graph.arguments[0], Weight("w", np.zeros((2, 2), np.float32))]
    for _ in range(draw(st.integers(1, 14))):
        near = st.integers(max(0, len(values) - 4), len(values) - 1) | st.integers(0, len(values) - 1)
        operands = [values[i] for i in draw(st.lists(near, min_size=0, max_size=3))]
        names = tuple(map(str, range(len(operands))))
        types = [TYPE] * draw(st.integers(1, 2))
        op = Opaque(operands_in=operands, op_type="Any", names=names, node=b"", types=types)
        graph.add(op)
        values.extend(op.results)
    reachable = [value for value in values if value in fed(graph)]
    graph.returns = [reachable[-1]]
    return graph


def reaches(graph: Graph, without: Value | None) -> bool:
    known = set(graph.arguments) - {without}
    for op in graph.ops:
        if any(value in known for value in op.inputs):
            known.update(result for result in op.results if result is not without)
    return graph.returns[0] in known


def depends(graph: Graph, value: Value, on: Value) -> bool:
    known = {on}
    for op in graph.ops:
        if any(operand in known for operand in op.inputs):
            known.update(op.results)
    return value in known


@given(graphs())
@settings(max_examples=300)
def test_dominators(graph: Graph) -> None:
    values = [*graph.arguments, *(result for op in graph.ops for result in op.results)]
    assert dominators(graph) == [value for value in values if not reaches(graph, value)]


@given(graphs())
@settings(max_examples=150)
def test_links_hold_the_ops_on_the_way(graph: Graph) -> None:
    chain = chain_of(graph)
    assert chain[-1].ops == ()
    on_the_way: list[Op] = []
    for link, after in itertools.pairwise(chain):
        for op in link.ops:
            assert any(depends(graph, value, link.value) for value in op.inputs)
            assert any(depends(graph, after.value, result) for result in op.results)
        on_the_way.extend(link.ops)
    output = graph.returns[0]
    expected = [
        op
        for op in graph.ops
        if any(value in fed(graph) for value in op.inputs) and any(depends(graph, output, r) for r in op.results)
    ]
    assert sorted(map(id, on_the_way)) == sorted(map(id, expected))
