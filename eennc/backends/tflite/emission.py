"""Writes the early-exit network, the base network and single stages as .tflite files."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np

from eennc.artifact import plain
from eennc.backends.tflite.decision import leaves
from eennc.interop.tflite.builder import Builder, Subgraph
from eennc.ir.agreement import remembering
from eennc.ir.cuts import exits_of
from eennc.ir.graph import Graph, Module
from eennc.ir.op import Op
from eennc.ir.ops.call import Call
from eennc.ir.ops.exit import Exit
from eennc.ir.ops.q_quantize import Quantize
from eennc.ir.types import Array, DType, TensorType
from eennc.ir.values import Argument, Value

SIGNATURE = "serving_default"


def write_model(module: Module, path: Path, *, io: str) -> None:
    """Write a segmented module."""
    path.write_bytes(early_exit_model(module, io=io))


def early_exit_model(module: Module, *, io: str = "float") -> bytes:
    """A segmented module as a .tflite file's content."""
    builder = Builder(f"eennc {version('eennc')}: {module.name}")
    network = _Network(module, builder)
    main = builder.subgraph("main")
    (argument,) = module.main.arguments
    taken = _input(main, argument, _quantised_input(module) if io == "int8" else None, network.inlined)
    answer, exit = network.stretch(main, 0)
    scores = _output(main, answer, module.main.returns[0].type, io)
    main.finish([taken], [scores, exit])
    builder.signature(SIGNATURE, main, {argument.name: taken}, {"scores": scores, "exit": exit})
    builder.metadata("eennc", json.dumps(_facts(module), ensure_ascii=False).encode())
    return builder.finish()


def _facts(module: Module) -> object:
    shown = ("exit", "place", "rule", "temperature", "threshold", "class_thresholds")
    exits = [{name: op.attrs[name] for name in shown} for op in exits_of(module.main)]
    return plain({"version": version("eennc"), "scores": module.attributes.get("scores", "logits"), "exits": exits})


def write_base(base: Graph, path: Path, *, io: str) -> None:
    """Write an exit-free network."""
    path.write_bytes(plain_model(base, io=io))


def plain_model(graph: Graph, *, io: str = "float") -> bytes:
    """An exit-free graph of one argument and one returned value, `scores`, as a .tflite file's content."""
    builder = Builder(f"eennc {version('eennc')}: {graph.name}")
    main = builder.subgraph("main")
    (argument,), (returned,) = graph.arguments, graph.returns
    bound: set[Op] = set()
    taken = _input(main, argument, _first_quantize(graph.ops, argument) if io == "int8" else None, bound)
    main.emit(op for op in graph.ops if op not in bound)
    scores = _output(main, main.of(returned), returned.type, io)
    main.finish([taken], [scores])
    builder.signature(SIGNATURE, main, {argument.name: taken}, {"scores": scores})
    return builder.finish()


def write_stages(module: Module, folder: Path) -> None:
    """Write each segment and head as `segment0.tflite`, `head0.tflite`, ..., in their own types."""
    for name, graph in module.graphs.items():
        if name == module.main.name:
            continue
        builder = Builder(f"eennc {version('eennc')}: {module.name}, {name}")
        stage = builder.subgraph(name)
        inputs = [stage.tensor(argument.type, argument.name) for argument in graph.arguments]
        for argument, tensor in zip(graph.arguments, inputs, strict=True):
            stage.bind(argument, tensor)
        stage.emit(graph.ops)
        outputs = [stage.of(value) for value in graph.returns]
        stage.finish(inputs, outputs)
        builder.signature(
            SIGNATURE,
            stage,
            {argument.name: tensor for argument, tensor in zip(graph.arguments, inputs, strict=True)},
            {f"y{i}": tensor for i, tensor in enumerate(outputs)},
        )
        (folder / f"{name}.tflite").write_bytes(builder.finish())


class _Network:
    """Walks the decision graph. An exit becomes an `IF`: one branch answers, the other is the rest of the network."""

    def __init__(self, module: Module, builder: Builder) -> None:
        self.module = module
        self.builder = builder
        self.ops = module.main.ops
        self.remembering = remembering(module.main, DType.I32)
        self.inlined: set[Op] = set()
        """Ops that need not be written: the input comes as they would make it."""

    def stretch(self, emit: Subgraph, start: int) -> tuple[int, int]:
        """Write the ops from number `start` on; returns the tensors of scores and exit."""
        exits = 0
        for number, op in enumerate(self.ops):
            exits += isinstance(op, Exit)
            if number < start:
                continue
            if isinstance(op, Exit):
                return self._exit(op, number, emit)
            assert isinstance(op, Call)  # the stage's legality
            self._inline(op, emit)
        return emit.of(self.module.main.returns[0]), _number(emit, exits)

    def _inline(self, call: Call, emit: Subgraph) -> None:
        callee = self.module.graphs[call.callee]
        for argument, value in zip(callee.arguments, call.args, strict=True):
            emit.bind(argument, emit.of(value))
        emit.emit(op for op in callee.ops if op not in self.inlined)
        for result, value in zip(call.results, callee.returns, strict=True):
            emit.bind(result, emit.of(value))

    def _exit(self, op: Exit, number: int, emit: Subgraph) -> tuple[int, int]:
        known = self.remembering[op]
        condition = leaves(op, emit, known)
        pairs = [*zip(op.carry, op.results, strict=True), *known.carried]
        passed = list(dict.fromkeys([op.scores, *(value for value, _ in pairs)]))
        stop = self.builder.subgraph(f"{op.place} leaves")
        taken = _bound(stop, passed)
        # what goes into the branch comes out of it: no operator
        stop.finish(taken, [stop.of(op.scores), _number(stop, op.exit)])
        on = self.builder.subgraph(f"{op.place} goes on")
        taken = _bound(on, passed)
        for value, result in pairs:
            on.bind(result, on.of(value))
        on.finish(taken, self.stretch(on, number + 1))
        scores = emit.tensor(op.scores.type, f"{op.place}/answer")
        exit = emit.tensor(TensorType((1,), DType.I32), f"{op.place}/exit")
        options = {"thenSubgraphIndex": stop.index, "elseSubgraphIndex": on.index}
        emit.operator("IF", [condition, *map(emit.of, passed)], [scores, exit], ("IfOptions", options))
        return scores, exit


def _bound(emit: Subgraph, values: list[Value]) -> list[int]:
    """Tensors for what goes into a branch."""
    tensors = [emit.tensor(value.type, f"input{index}") for index, value in enumerate(values)]
    for value, tensor in zip(values, tensors, strict=True):
        emit.bind(value, tensor)
    return tensors


def _number(emit: Subgraph, exit: int) -> int:
    number: Array = np.array([exit], np.int32)
    return emit.constant(number, f"exit{exit}")


def _input(emit: Subgraph, argument: Argument, quantize: Quantize | None, inlined: set[Op]) -> int:
    """The tensor that the network takes; in integers, what the first quantisation would make of it."""
    if quantize is None:
        taken = emit.tensor(argument.type, argument.name)
        emit.bind(argument, taken)
        return taken
    taken = emit.tensor(quantize.result.type, argument.name)
    emit.bind(argument, taken)
    emit.bind(quantize.result, taken)
    inlined.add(quantize)
    return taken


def _quantised_input(module: Module) -> Quantize | None:
    first = next(op for op in module.main.ops if isinstance(op, Call))
    callee = module.graphs[first.callee]
    return _first_quantize(callee.ops, callee.arguments[0])


def _first_quantize(ops: list[Op], argument: Value) -> Quantize | None:
    """The quantisation of the argument itself, where nothing else takes it."""
    users = [op for op in ops if argument in op.inputs]
    return users[0] if len(users) == 1 and isinstance(users[0], Quantize) else None


def _output(emit: Subgraph, tensor: int, type: TensorType, io: str) -> int:
    """Scores as floats, unless integers are wanted."""
    if type.quant is None or io == "int8":
        return tensor
    scores = emit.tensor(TensorType(type.shape, DType.F32), "scores")
    emit.operator("DEQUANTIZE", [tensor], [scores], ("DequantizeOptions", {}), version=2)
    return scores
