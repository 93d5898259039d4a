"""Turns the decision graph into nested `If` nodes."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from eennc.interop.onnx.writer import Emitter, plain_model, save_model, value_info
from eennc.ir.graph import Graph, Module
from eennc.ir.op import Op
from eennc.ir.ops.call import Call
from eennc.ir.ops.exit import SMALLEST_PROBABILITY, Exit
from eennc.ir.types import BATCH, DType, TensorType


@dataclass(frozen=True)
class _Answer:
    """The names of an answer's scores and exit number, in the emitter that made it."""

    scores: str
    exit: str


def write_model(module: Module, path: Path, *, free: bool, external_above: int) -> None:
    """Write a segmented module; `free` for a batch of any size, else for its baked one or 1."""
    if not free:
        module = _with_batch_1(module)
    main = module.main
    emitter = Emitter()
    scores_type = main.returns[0].type
    emitter.bind(main.arguments[0], main.arguments[0].name)
    exits = [op for op in main.ops if isinstance(op, Exit)]
    scores, exit = emitter.fresh("scores"), emitter.fresh("exit")
    form = _Free(module, len(exits)) if free else _Single(module, len(exits))
    answer = form.rest(emitter, 0)
    emitter.nodes.append(onnx.NodeProto(op_type="Identity", input=[answer.scores], output=[scores], name=scores))
    emitter.nodes.append(onnx.NodeProto(op_type="Identity", input=[answer.exit], output=[exit], name=exit))
    model = emitter.model(
        module.name,
        [value_info(argument.name, argument.type) for argument in main.arguments],
        [value_info(scores, scores_type), value_info(exit, TensorType(scores_type.shape[:1], DType.I64))],
    )
    for op in exits:
        model.metadata_props.add(key=f"exit{op.exit}.place", value=op.place)
        model.metadata_props.add(key=f"exit{op.exit}.threshold", value=repr(op.threshold))
        model.metadata_props.add(key=f"exit{op.exit}.temperature", value=repr(op.temperature))
    _save(model, path, external_above)


def write_base(base: Graph, path: Path, *, free: bool, external_above: int) -> None:
    """Write the base network, its output called `scores`."""
    graph = base if free else _graph_with_batch_1(base)
    _save(plain_model(graph, outputs=["scores"], name="base"), path, external_above)


def _save(model: onnx.ModelProto, path: Path, external_above: int) -> None:
    save_model(model, path, external_above=external_above)
    # by path, so that external data and models above 2 GB are checked too
    onnx.checker.check_model(str(path), full_check=True)


def _with_batch_1(module: Module) -> Module:
    copy = module.copy()
    for graph in copy.graphs.values():
        _fix_types(graph)
    return copy


def _graph_with_batch_1(graph: Graph) -> Graph:
    copy = graph.copy()
    _fix_types(copy)
    return copy


def _fix_types(graph: Graph) -> None:
    for value in (*graph.arguments, *(result for op in graph.ops for result in op.results)):
        value.type = value.type.with_shape([1 if dim == BATCH else dim for dim in value.type.shape])


class _Form:
    """Walks the decision graph; a subclass says what an exit becomes."""

    def __init__(self, module: Module, exits: int) -> None:
        self.module = module
        self.exits = exits
        self.ops: list[Op] = module.main.ops

    def rest(self, emitter: Emitter, start: int) -> _Answer:
        """Emit the decision graph from op number `start` on; returns the answer's names."""
        for index in range(start, len(self.ops)):
            op = self.ops[index]
            if isinstance(op, Call):
                self._inline(op, emitter)
            elif isinstance(op, Exit):
                return self.exit(op, emitter, index + 1)
        scores = emitter.name_of(self.module.main.returns[0])
        return _Answer(scores, self.number(emitter, scores, self.exits))

    def _inline(self, call: Call, emitter: Emitter) -> None:
        callee = self.module.graphs[call.callee]
        for argument, value in zip(callee.arguments, call.args, strict=True):
            emitter.names[argument] = emitter.name_of(value)
        emitter.emit(callee.ops)
        for result, value in zip(call.results, callee.returns, strict=True):
            emitter.names[result] = emitter.name_of(value)

    def confidence(self, op: Exit, emitter: Emitter, axes: list[int], keepdims: int) -> str:
        """The exit's rule (`ee.exit`): the largest entry of a softmax over the scores divided by the temperature."""
        hint = f"{op.place}.confidence"
        value = emitter.name_of(op.scores)
        if op.kind == "probabilities":
            least = emitter.constant(np.array(SMALLEST_PROBABILITY, np.float32), f"{hint}.least")
            value = emitter.node("Log", [emitter.node("Max", [value, least], hint=hint)], hint=hint)
        if op.temperature != 1:
            scale = emitter.constant(np.array(1 / op.temperature, np.float32), f"{hint}.scale")
            value = emitter.node("Mul", [value, scale], hint=hint)
        value = emitter.node("Softmax", [value], hint=hint, axis=-1)
        over = emitter.constant(np.array(axes, np.int64), f"{hint}.axes")
        return emitter.node("ReduceMax", [value, over], hint=hint, keepdims=keepdims)

    def threshold(self, op: Exit, emitter: Emitter) -> str:
        """The threshold as an initializer."""
        return emitter.constant(np.array(op.threshold, np.float32), f"{op.place}.threshold")

    def number(self, emitter: Emitter, scores: str, exit: int) -> str:
        """The number of an exit, for every sample of `scores`."""
        raise NotImplementedError

    def exit(self, op: Exit, emitter: Emitter, following: int) -> _Answer:
        """Emit an exit and, in a branch, what follows it."""
        raise NotImplementedError

    def branch(self, child: Emitter, name: str, answer: _Answer, scores: TensorType) -> onnx.GraphProto:
        """A branch that returns an answer."""
        outputs = [
            value_info(answer.scores, TensorType(("?", *scores.shape[1:]), scores.dtype)),
            value_info(answer.exit, TensorType(("?",), DType.I64)),
        ]
        return child.graph(name, [], outputs)


class _Single(_Form):
    """One sample at a time: nested `If`, the rest of the network in the else branch."""

    def number(self, emitter: Emitter, scores: str, exit: int) -> str:
        size = self.module.main.returns[0].type.concrete()[0]
        return emitter.constant(np.full(size, exit, np.int64), f"exit.{exit}")

    def exit(self, op: Exit, emitter: Emitter, following: int) -> _Answer:
        confidence = self.confidence(op, emitter, [0, 1], 0)
        fires = emitter.node("GreaterOrEqual", [confidence, self.threshold(op, emitter)], hint=f"{op.place}.fires")
        stop = emitter.child()
        scores = stop.node("Identity", [emitter.name_of(op.scores)], hint=f"{op.place}.scores")
        here = _Answer(scores, stop.node("Identity", [self.number(stop, scores, op.exit)], hint="exit"))
        on = emitter.child()
        for result, value in zip(op.results, op.carry, strict=True):
            on.names[result] = emitter.name_of(value)
        later = self.rest(on, following)
        later = _Answer(_own(on, later.scores), _own(on, later.exit))
        scores, exit = emitter.node(
            "If",
            [fires],
            2,
            hint=f"{op.place}.exit",
            then_branch=self.branch(stop, f"{op.place} stops", here, op.scores.type),
            else_branch=self.branch(on, f"{op.place} goes on", later, op.scores.type),
        )
        return _Answer(scores, exit)


def _own(emitter: Emitter, name: str) -> str:
    """`name`, or that of an Identity where no node of this branch makes it: a branch cannot return an outer value or an
    initializer.
    """
    if any(name in node.output for node in emitter.nodes):
        return name
    return emitter.node("Identity", [name], hint=name)


class _Free(_Form):
    """A batch of any size: the survivors of an exit are compressed into a smaller batch, and their answers scattered
    back over those of the exit. Without a survivor the rest is not run.
    """

    def number(self, emitter: Emitter, scores: str, exit: int) -> str:
        size = emitter.node("Shape", [scores], hint="samples", start=0, end=1)
        value = onnx.helper.make_tensor("value", onnx.TensorProto.INT64, [1], [exit])
        return emitter.node("ConstantOfShape", [size], hint=f"exit.{exit}", value=value)

    def exit(self, op: Exit, emitter: Emitter, following: int) -> _Answer:
        hint = op.place
        confidence = self.confidence(op, emitter, [1], 0)
        threshold = self.threshold(op, emitter)
        goes_on = emitter.node("Less", [confidence, threshold], hint=f"{hint}.goes_on")
        least = emitter.node("ReduceMin", [confidence], hint=f"{hint}.least", keepdims=0)
        any_goes_on = emitter.node("Less", [least, threshold], hint=f"{hint}.any_goes_on")
        here = _Answer(emitter.name_of(op.scores), self.number(emitter, emitter.name_of(op.scores), op.exit))
        stop = emitter.child()
        stopped = _Answer(_own(stop, here.scores), _own(stop, here.exit))
        on = emitter.child()
        for result, value in zip(op.results, op.carry, strict=True):
            on.names[result] = on.node("Compress", [value, goes_on], hint=f"{hint}.survivors", axis=0)
        later = self.rest(on, following)
        rows = on.node("Transpose", [on.node("NonZero", [goes_on], hint=f"{hint}.rows")], hint=f"{hint}.rows")
        merged = _Answer(
            on.node("ScatterND", [here.scores, rows, later.scores], hint=f"{hint}.scores"),
            on.node("ScatterND", [here.exit, rows, later.exit], hint=f"{hint}.exits"),
        )
        scores, exit = emitter.node(
            "If",
            [any_goes_on],
            2,
            hint=f"{hint}.exit",
            then_branch=self.branch(on, f"{hint} goes on", merged, op.scores.type),
            else_branch=self.branch(stop, f"{hint} stops", stopped, op.scores.type),
        )
        return _Answer(scores, exit)
