"""Runs graphs through onnxruntime: whole data sets through exit-free graphs, single opaque ops for the interpreter."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence

import numpy as np

from eennc.interop.onnx.session import Session, declare_external
from eennc.interop.onnx.writer import Emitter, lower_graph, value_info
from eennc.ir.graph import Graph
from eennc.ir.ops.opaque import Opaque
from eennc.ir.types import UNKNOWN, Array, TensorType
from eennc.ir.values import Weight
from eennc.support.instruments import Progress, Silent, task

_OPAQUE: weakref.WeakKeyDictionary[Opaque, Session] = weakref.WeakKeyDictionary()


def execute(
    graph: Graph,
    x: Array,
    *,
    batch: int = 64,
    progress: Progress | None = None,
    threads: int = 0,
    label: str = "running the network",
) -> list[Array]:
    """Run an exit-free graph of one argument over all samples of `x`; one array [n, ...] per returned value.

    Samples run in chunks of `batch`, or of the graph's own size where its batch is baked (the last chunk is then
    filled up with its last sample). Raises ValueError where `x` does not fit the argument, UserError where onnxruntime
    refuses an opaque operator.
    """
    answers: list[Array] = []
    with task(progress or Silent(), label, len(x)) as number:
        start = 0
        for found in stream(graph, x, batch=batch, threads=threads):
            taken = len(found[0]) if found else 0
            if not answers:
                answers = [np.empty((len(x), *part.shape[1:]), part.dtype) for part in found]
            for answer, part in zip(answers, found, strict=True):
                answer[start : start + taken] = part
            start += taken
            (progress or Silent()).advance(number, taken)
    return answers


def stream(graph: Graph, x: Array, *, batch: int = 64, threads: int = 0) -> Iterator[list[Array]]:
    """As `execute`, chunk by chunk; an empty `x` gives one empty chunk, which says what the answers look like."""
    session = session_of(graph, threads=threads)
    (argument,) = graph.arguments
    type = argument.type
    if not TensorType(("N", *type.shape[1:]), type.dtype).accepts(x):
        raise ValueError(f"the graph takes {type}, not an array of {x.dtype} {list(x.shape)}")
    for chunk, taken in chunks(x, type, batch):
        yield [part[:taken] for part in session.run(np.ascontiguousarray(chunk))]


def chunks(x: Array, type: TensorType, batch: int) -> Iterator[tuple[Array, int]]:
    """The samples in chunks for an argument of `type`, and how many of each count: `batch`, or as many as are baked
    into the type, the last then filled up with its last sample. An empty `x` gives one chunk.
    """
    baked = type.shape[0] if not type.batched else None
    size = baked if isinstance(baked, int) else batch
    for start in range(0, len(x), size) if len(x) else (0,):
        chunk = x[start : start + size]
        taken = len(chunk)
        if baked is not None and taken < size:
            filler = chunk[-1:] if taken else np.zeros((1, *x.shape[1:]), x.dtype)
            chunk = np.concatenate([chunk, np.repeat(filler, size - taken, axis=0)])
        yield chunk, taken


def session_of(graph: Graph, *, threads: int = 0) -> Session:
    """An onnxruntime session of an exit-free graph; its outputs are called `0`, `1`, ... The weights are not copied."""
    emitter, inputs, outputs = lower_graph(graph, [f"{index}" for index in range(len(graph.returns))])
    model = emitter.skeleton(graph.name, inputs, outputs)
    # small initializers stay inside, where onnxruntime's optimiser can see them
    inside = {name for name, array in emitter.arrays.items() if array.size <= 64}
    for tensor in model.graph.initializer:
        if tensor.name in inside:
            tensor.raw_data = emitter.arrays[tensor.name].tobytes()
    declare_external(model, emitter.arrays.keys() - inside)
    weights = {name: array for name, array in emitter.arrays.items() if name not in inside}
    return Session(model, threads=threads, weights=weights)


def run_opaque(op: Opaque, operands: Sequence[Array]) -> list[Array]:
    """Evaluate an opaque op on the arrays of its operands; the interpreter's `OpaqueRunner`."""
    session = _OPAQUE.get(op)
    if session is None:
        session = _OPAQUE[op] = _opaque_session(op)
    feeds = {
        f"in.{index}": array
        for index, (value, array) in enumerate(zip(op.inputs, operands, strict=True))
        if not isinstance(value, Weight)
    }
    return session.run(feeds)


def _opaque_session(op: Opaque) -> Session:
    """A model of the one node; operands of any size, weights inside."""
    emitter = Emitter()
    inputs = [(value, f"in.{index}") for index, value in enumerate(op.inputs) if not isinstance(value, Weight)]
    for value, name in inputs:
        emitter.bind(value, name)
    for index, result in enumerate(op.results):
        emitter.bind(result, f"out.{index}")
    emitter.emit([op])

    def open_type(type: TensorType) -> TensorType:
        return TensorType((UNKNOWN,) * type.rank, type.dtype)

    model = emitter.model(
        op.op_type,
        [value_info(name, open_type(value.type)) for value, name in inputs],
        [value_info(f"out.{index}", open_type(result.type)) for index, result in enumerate(op.results)],
    )
    return Session(model, threads=1)
