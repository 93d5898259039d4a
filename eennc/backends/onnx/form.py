"""The decision graph as ONNX: what the form for one sample and the form for a free batch share."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx

from eennc.interop.onnx.qdq import dequantised
from eennc.interop.onnx.writer import Emitter, stored, value_info
from eennc.ir.agreement import Memory, remembering
from eennc.ir.graph import Module
from eennc.ir.op import Op
from eennc.ir.ops.add import Add
from eennc.ir.ops.call import Call
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.exit import Exit
from eennc.ir.ops.mul import Mul
from eennc.ir.rules import MOST, NO_CLASS, SMALLEST_PROBABILITY, exponentials
from eennc.ir.types import UNKNOWN, Array, DType, TensorType
from eennc.ir.values import Value

DEEPEST = 20
"""Exits nested in each other. protobuf reads messages nested 100 deep; an `If` takes three levels, so 31 exits is the
most that onnxruntime loads, and subgraphs inside the network take levels too.
"""
BLOCK = 16
"""Channels that onnxruntime keeps together in its blocked layout on the widest processors."""


@dataclass(frozen=True)
class Answer:
    """Names of an answer's parts in the emitter that made them; what the parts are is the form's own affair. Where the
    network pauses behind exit `paused`, `state` is what it goes on from.
    """

    parts: tuple[str, ...]
    paused: Exit | None = None
    state: tuple[str, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """All names."""
        return (*self.parts, *self.state)


class Form:
    """Walks the decision graph. An exit becomes an `If` with the rest of the network in one of its branches.

    `deepest` exits are nested in each other; the last of them pauses: its branch returns what the exit carries, all
    `If`s around it hand that out, and behind the outermost the network goes on in a new `If`. `point`: the name of the
    tensor that says which operating point is in force, None where there is one only. `last`: of the one with the class
    that was answered last, for the rule `temporal-patience`.
    """

    def __init__(self, module: Module, deepest: int = DEEPEST, point: str | None = None, last: str = "") -> None:
        self.module = module
        self.point = point
        self.last = last
        self.ops: Sequence[Op] = module.main.ops
        self.exits = sum(isinstance(op, Exit) for op in self.ops)
        self.deepest = deepest
        self.remembering = remembering(module.main, DType.I64)
        scores = module.main.returns[0].type
        self.scores = scores if scores.quant is None else TensorType(scores.shape)

    def network(self, emitter: Emitter) -> tuple[str, str]:
        """Emit the whole network; returns the names of scores and exit."""
        return self.outputs(emitter, self.stretch(emitter, None, 0))

    def stretch(self, emitter: Emitter, after: Exit | None, depth: int) -> Answer:
        """Emit what follows the exit `after`, which is nested `depth` deep."""
        start = 0 if after is None else self.ops.index(after) + 1
        for op in self.ops[start:]:
            if isinstance(op, Exit):
                answer = self.exit(op, emitter, depth)
                return answer if depth or answer.paused is None else self.resumed(answer, answer.paused, emitter)
            assert isinstance(op, Call)  # the stage's legality
            self._inline(op, emitter)
        return self.answer(emitter, self.module.main.returns[0], self.exits)

    def pauses(self, op: Exit, depth: int) -> bool:
        """Whether what follows an exit must not be nested in it."""
        return depth + 1 == self.deepest and op.exit + 1 < self.exits

    def _inline(self, call: Call, emitter: Emitter) -> None:
        callee = self.module.graphs[call.callee]
        for argument, value in zip(callee.arguments, call.args, strict=True):
            emitter.names[argument] = emitter.name_of(value)
        emitter.emit(callee.ops)
        for result, value in zip(call.results, callee.returns, strict=True):
            emitter.names[result] = emitter.name_of(value)

    def leaves(self, op: Exit, emitter: Emitter, *, per_sample: bool) -> str:
        """Whether the exit fires, by the rule of `ee.exit`: for each sample, bool [n], or for the only one, bool [] or
        [1].
        """
        if (known := self.remembering[op]).here is not None:
            self._remember(op, emitter, known.here, known.before)
            if op.rule == "patience":
                return self._reaches(op, emitter, emitter.name_of(known.here.run), self._limits(op))
        rule = self._integers if op.evidence.type.quant is not None else self._floats
        fires = rule(op, emitter, [emitter.constant(np.array([1]), f"{op.place}.axes")] if per_sample else [])
        if not op.streams:
            return fires
        hint = f"{op.place}.same"
        named = emitter.node("ArgMax", [self.real(op.scores, emitter)], hint=hint, axis=-1, keepdims=0)
        same = emitter.node("Equal", [named, self.last], hint=hint)
        return emitter.node("And", [fires, same], hint=f"{op.place}.leaves")

    def _remember(self, op: Exit, emitter: Emitter, here: Memory, before: Memory | None) -> None:
        """Write what patience makes of an exit: the class it names, and one more than the run before where it is that
        one's class.
        """
        hint = f"{op.place}.agreement"
        named = emitter.node("ArgMax", [self.real(op.scores, emitter)], hint=hint, axis=-1, keepdims=0)
        # the first exit agrees with itself: a run for each sample of whatever batch
        last = named if before is None else emitter.name_of(before.named)
        run = emitter.node("Equal", [named, last], hint=hint)
        run = emitter.node("Cast", [run], hint=hint, to=onnx.TensorProto.FLOAT)
        if before is not None:
            run = emitter.node("Mul", [run, emitter.name_of(before.run)], hint=hint)
            run = emitter.node("Add", [run, emitter.constant(np.array(1, np.float32), f"{hint}.one")], hint=hint)
        counted = np.array([threshold < math.inf for threshold in self._thresholds(op)])
        if not counted.all():
            # nobody is asked where the point switches the exit off: what was known goes on
            counts = self._at_point(emitter, counted, f"{hint}.counts")
            if before is None:
                nobody = emitter.constant(np.array(NO_CLASS), f"{hint}.nobody")
                known = nobody, emitter.constant(np.array(0, np.float32), f"{hint}.none")
            else:
                known = emitter.name_of(before.named), emitter.name_of(before.run)
            named = emitter.node("Where", [counts, named, known[0]], hint=hint)
            run = emitter.node("Where", [counts, run, known[1]], hint=hint)
        emitter.names.update({here.named: named, here.run: run})

    def passed(self, op: Exit) -> list[tuple[Value, Value]]:
        """What goes past an exit: each value before it, and the one that it is behind."""
        return [*zip(op.carry, op.results, strict=True), *self.remembering[op].carried]

    def enter(self, op: Exit, names: Sequence[str], emitter: Emitter) -> None:
        """In the branch behind an exit: what went past it is called `names` there."""
        for (_, behind), name in zip(self.passed(op), names, strict=True):
            emitter.names[behind] = self.carried(behind, name, emitter)

    def _floats(self, op: Exit, emitter: Emitter, axes: Sequence[str]) -> str:
        hint = f"{op.place}.confidence"
        value = emitter.name_of(op.evidence)
        if op.evidence.type.dtype != DType.F32:
            value = emitter.node("Cast", [value], hint=hint, to=onnx.TensorProto.FLOAT)
        if op.evidence_kind == "probabilities":
            least = emitter.constant(np.array(SMALLEST_PROBABILITY), f"{op.place}.least")
            value = emitter.node("Log", [emitter.node("Max", [value, least], hint=hint)], hint=hint)
        if op.score_rule == "margin":
            value = self._lead(op, emitter, value, 1 / op.temperature)
            return self._reaches(op, emitter, value, self._limits(op))
        if op.temperature != 1:
            scale = emitter.constant(np.array(1 / op.temperature, np.float32), f"{op.place}.scale")
            value = emitter.node("Mul", [value, scale], hint=hint)
        if op.rule == "entropy":
            # -H, against what the score's limits are there
            logs = emitter.node("LogSoftmax", [value], hint=hint, axis=-1)
            parts = emitter.node("Mul", [emitter.node("Exp", [logs], hint=hint), logs], hint=hint)
            value = emitter.node("ReduceSum", [parts, *axes], hint=hint, keepdims=0)
            return self._reaches(op, emitter, value, (self._limits(op) - 1) * np.log(np.float32(op.classes)))
        value = emitter.node("Softmax", [value], hint=hint, axis=-1)
        value = emitter.node("ReduceMax", [value, *axes], hint=hint, keepdims=0)
        return self._reaches(op, emitter, value, self._limits(op))

    def _integers(self, op: Exit, emitter: Emitter, axes: Sequence[str]) -> str:
        """The rule's levels, in numbers that the runtime cannot round."""
        hint = f"{op.place}.confidence"
        limits = self._limits(op, op.levels, np.int32)
        if op.score_rule == "margin":
            value = self._lead(op, emitter, self.real(op.evidence, emitter), 1)
            # halfway between two integer steps, floats cannot round to the other side
            return self._reaches(op, emitter, value, ((limits - 0.5) * op.unit).astype(np.float32))
        value = emitter.node("Cast", [emitter.name_of(op.evidence)], hint=hint, to=onnx.TensorProto.INT32)
        last = emitter.constant(np.array([1]), f"{hint}.axes")
        largest = emitter.node("ReduceMax", [value, last], hint=hint)
        behind = emitter.node("Sub", [largest, value], hint=hint)
        table = emitter.constant(exponentials(op.temperature, op.unit), f"{op.place}.exponentials")
        value = emitter.node("Gather", [table, behind], hint=hint)
        value = emitter.node("ReduceSum", [value, *axes], hint=hint, keepdims=0)
        most = emitter.constant(np.array(MOST, np.int32), f"{op.place}.most")
        value = emitter.node("Sub", [most, emitter.node("Min", [value, most], hint=hint)], hint=hint)
        return self._reaches(op, emitter, value, limits)

    def _lead(self, op: Exit, emitter: Emitter, value: str, factor: float) -> str:
        """The largest number less the second largest, times a factor."""
        hint = f"{op.place}.confidence"
        two = emitter.constant(np.array([2]), f"{hint}.two")
        value, _ = emitter.node("TopK", [value, two], 2, hint=hint, axis=-1)
        factors = np.array([1, -1], np.float32) * np.float32(factor)
        # one product for the difference and the temperature: each node costs a microsecond
        return emitter.node("MatMul", [value, emitter.constant(factors, f"{op.place}.factors")], hint=hint)

    def _limits(
        self, op: Exit, of: Callable[[float], float] = float, dtype: type[np.float32 | np.int32] = np.float32
    ) -> Array:
        """What `of` makes of an exit's limits: a row for each operating point, of one, or of one for each class."""
        return np.array([[of(limit) for limit in op.limits(t)] for t in self._thresholds(op)], dtype)

    def _thresholds(self, op: Exit) -> tuple[float, ...]:
        """At each operating point that can be in force."""
        return (op.threshold,) if self.point is None else (op.threshold, *op.points)

    def _at_point(self, emitter: Emitter, table: Array, hint: str) -> str:
        """The row of a table that is for the operating point in force."""
        if self.point is None:
            return emitter.constant(table[0], hint)
        return emitter.node("Gather", [emitter.constant(table, f"{hint}s"), self.point], hint=hint)

    def _reaches(self, op: Exit, emitter: Emitter, value: str, limits: Array) -> str:
        """Whether the rule's number is at least its limit."""
        hint = f"{op.place}.threshold"
        if op.class_thresholds:
            named = emitter.node("ArgMax", [self.real(op.scores, emitter)], hint=hint, axis=-1, keepdims=0)
            limit = emitter.node("Gather", [self._at_point(emitter, limits, hint), named], hint=f"{hint}.by_class")
        else:
            limit = self._at_point(emitter, limits[:, 0], hint)
        return emitter.node("GreaterOrEqual", [value, limit], hint=f"{op.place}.leaves")

    @staticmethod
    def real(value: Value, emitter: Emitter) -> str:
        """The name of a value's real numbers."""
        return emitter.name_of(value) if value.type.quant is None else dequantised(emitter, value)

    def carried(self, value: Value, name: str, emitter: Emitter) -> str:
        """The carried value `name` as the branch's own ops should take it.

        A residual block behind an exit takes it in a convolution and in an addition. onnxruntime brings it into its
        blocked layout for the convolution only, and then neither fuses the addition nor keeps that layout behind it. A
        pooling of single cells copies the value in blocked layout for both.
        """
        type = value.type
        channels = type.shape[1] if type.rank == 4 else None
        if type.dtype != DType.F32 or not isinstance(channels, int) or channels % BLOCK:
            return name
        users = self._users(value)
        if any(isinstance(op, Conv) for op in users) and any(isinstance(op, (Add, Mul)) for op in users):
            return emitter.node("MaxPool", [name], hint=f"{name}.blocked", kernel_shape=[1, 1])
        return name

    def _users(self, value: Value) -> list[Op]:
        users: list[Op] = []
        for call in self.ops:
            if isinstance(call, Call):
                callee = self.module.graphs[call.callee]
                inside = [a for a, given in zip(callee.arguments, call.args, strict=True) if given is value]
                users.extend(op for op in callee.ops if any(argument in op.inputs for argument in inside))
        return users

    def branched(self, op: Exit, emitter: Emitter, condition: str, yes: Branch, no: Branch) -> Answer:
        """The `If` between two branches. Where one of them pauses, the other returns an empty state."""
        paused = yes.answer.paused or no.answer.paused
        yes, no = (self._with_state(branch, paused) for branch in (yes, no))
        branches: dict[str, Any] = {"then_branch": self._graph(yes, paused), "else_branch": self._graph(no, paused)}
        made = emitter.node("If", [condition], len(yes.answer.outputs), hint=f"{op.place}.exit", **branches)
        names = (made,) if isinstance(made, str) else tuple(made)
        return self._answer(names, paused)

    def _answer(self, names: Sequence[str], paused: Exit | None) -> Answer:
        parts = len(self.part_types)
        return Answer(tuple(names[:parts]), paused, tuple(names[parts:]))

    def _with_state(self, branch: Branch, paused: Exit | None) -> Branch:
        answer, emitter = branch.answer, branch.emitter
        if paused is not None and answer.paused is None:
            answer = replace(answer, state=tuple(self.nothing(type, emitter) for type in self.state_types(paused)))
        return replace(branch, answer=self._answer([_own(emitter, name) for name in answer.outputs], paused))

    def _graph(self, branch: Branch, paused: Exit | None) -> onnx.GraphProto:
        types = [*self.part_types, *(self.state_types(paused) if paused is not None else [])]
        outputs = [value_info(name, type) for name, type in zip(branch.answer.outputs, types, strict=True)]
        return branch.emitter.graph(branch.name, [], outputs)

    def state_types(self, op: Exit) -> list[TensorType]:
        """What a pause behind an exit returns besides the answer."""
        return [self.resume_type, *(opened(behind.type) for _, behind in self.passed(op))]

    def nothing(self, type: TensorType, emitter: Emitter) -> str:
        """A tensor of this type for no sample; of rank 0, a false."""
        shape = [0 if dim == UNKNOWN else int(dim) for dim in type.shape]
        return emitter.constant(np.zeros(shape, stored(type).numpy), "nothing")

    resume_type: TensorType
    """Type of the state's first part, which says whether (and with which samples) to go on."""

    @property
    def part_types(self) -> list[TensorType]:
        """Of an answer's parts."""
        raise NotImplementedError

    def answer(self, emitter: Emitter, scores: Value, exit: int) -> Answer:
        """The answer that is the scores of an exit, or of the last classifier."""
        raise NotImplementedError

    def outputs(self, emitter: Emitter, answer: Answer) -> tuple[str, str]:
        """The names of scores and exit that an answer stands for."""
        raise NotImplementedError

    def exit(self, op: Exit, emitter: Emitter, depth: int) -> Answer:
        """Emit an exit and, in a branch, what follows it."""
        raise NotImplementedError

    def resumed(self, answer: Answer, paused: Exit, emitter: Emitter) -> Answer:
        """Emit, in a branch, what follows a pause."""
        raise NotImplementedError


@dataclass(frozen=True)
class Branch:
    """A branch of an `If`: its name for the reader, its emitter, what it returns."""

    name: str
    emitter: Emitter
    answer: Answer


def opened(type: TensorType) -> TensorType:
    """The type with a free first axis: a branch has its own number of samples."""
    return type.with_shape((UNKNOWN, *type.shape[1:]))


def _own(emitter: Emitter, name: str) -> str:
    """`name`, or that of an Identity where no node of this branch makes it: a branch cannot return an outer value or an
    initializer.
    """
    if any(name in node.output for node in emitter.nodes):
        return name
    return emitter.node("Identity", [name], hint=name)
