"""A planned module as the parts of model.c."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from eennc.backends.cortexm.form import form_of
from eennc.backends.cortexm.names import printable
from eennc.backends.cortexm.writer import Function, Writer, c_float
from eennc.ir.flat import Flat, flatten
from eennc.ir.graph import Module
from eennc.ir.ops.call import Call
from eennc.ir.ops.exit import Exit
from eennc.ir.rules import exponentials
from eennc.ir.types import Quant, TensorType
from eennc.ir.values import Value


@dataclass(frozen=True)
class ExitCode:
    """An exit: C expressions for its scores, its confidence, and its thresholds by class, None where it has none;
    whether it looks at the last answer.
    """

    number: int
    scores: str
    confidence: str
    by_class: str | None
    comment: str
    streams: bool


@dataclass
class Stage:
    """What one step does: functions to call for the segment and for its head, and the exit, None at the end."""

    calls: list[str] = field(default_factory=list[str])
    head_calls: list[str] = field(default_factory=list[str])
    exit: ExitCode | None = None


@dataclass(frozen=True)
class Program:
    """All that the templates need of the network. input, scores: types as the caller sees them. output: the expression
    of the last classifier's scores.
    """

    writer: Writer
    functions: tuple[Function, ...]
    stages: tuple[Stage, ...]
    input: TensorType
    scores: TensorType
    output: str
    dequantise: str | None
    """The description by which scores become floats; None where they stay what they are."""


def program_of(module: Module, prefix: str, *, floats: bool) -> Program:
    """Lay out a planned module. floats: whether a quantised network takes and gives floats."""
    return _Layout(module, prefix, floats=floats).program()


def shown_by(flat: Flat) -> dict[Value, Value]:
    """What each value stands for: the tensor that its bytes were computed as, or the network's input."""
    found = dict(flat.origin)
    for step in flat.steps:
        if isinstance(step.op, Exit) or not step.makes:
            continue
        taken = step.takes[0] if step.takes else None
        if form_of(step.op).view and taken is not None:
            found[step.makes[0]] = found.get(taken, taken)
    return {value: found.get(origin, origin) for value, origin in found.items()}


class _Layout:
    def __init__(self, module: Module, prefix: str, *, floats: bool) -> None:
        self.module = module
        self.flat: Flat = flatten(module)
        self.floats = floats
        self.writer = Writer(prefix, shown_by(self.flat))

    def program(self) -> Program:
        for step in self.flat.steps:
            if isinstance(step.op, Exit) or form_of(step.op).view:
                continue
            self.writer.begin(step.op, step.function)
            form_of(step.op).write(self.writer)
        scores = self.module.main.returns[0]
        dequantise = None
        if self.floats and scores.type.quant is not None:
            dequantise = self._dequantise(scores.type)
        stages = self._stages()
        return Program(
            writer=self.writer,
            functions=tuple(self.writer.functions.values()),
            stages=tuple(stages),
            input=self.module.main.arguments[0].type,
            scores=scores.type if dequantise is None else TensorType(scores.type.shape),
            output=self.writer.at(scores),
            dequantise=dequantise,
        )

    def _dequantise(self, type: TensorType) -> str:
        assert type.quant is not None
        fields = {"size": type.elements(), "scale": type.quant.scale, "zero_point": type.quant.zero_point}
        self.writer.kernels["eennc_dequantise_s8_f32"] = None
        return self.writer.named("eennc_quantise_t", "output", fields)

    def _stages(self) -> list[Stage]:
        stages = [Stage()]
        for op in self.module.main.ops:
            if isinstance(op, Exit):
                stages[-1].exit = self._exit(op)
                stages.append(Stage())
            elif isinstance(op, Call) and op.callee in self.writer.functions:
                function = self.writer.functions[op.callee]
                call = f"{function.name}({'x, ' if function.reads_input else ''}arena);"
                (stages[-1].head_calls if function.head else stages[-1].calls).append(call)
        return stages

    def _exit(self, op: Exit) -> ExitCode:
        evidence = self.writer.at(op.evidence)
        classes = op.evidence.type.concrete(1)[1]
        if op.rule == "patience":
            confidence = "(float)net->run" if op.evidence.type.quant is None else "net->run"
        elif op.evidence.type.quant is not None:
            table = ""
            if op.score_rule == "max_probability":
                table = f", {self.writer.constant(exponentials(op.temperature, op.unit), 'exponentials')}"
            confidence = f"eennc_{op.score_rule}_s8({evidence}, {classes}{table})"
        else:
            of = "_of_probabilities" if op.evidence_kind == "probabilities" else ""
            factor = c_float(float(np.float32(1 / op.temperature)))
            confidence = f"eennc_{op.score_rule}{of}_f32({evidence}, {classes}, {factor})"
        return ExitCode(
            number=op.exit,
            scores=self.writer.at(op.scores),
            confidence=confidence,
            by_class=self._by_class(op) if op.class_thresholds else None,
            comment=f"after {printable(op.place)}",
            streams=op.streams,
        )

    def _by_class(self, op: Exit) -> str:
        limits = np.array(op.class_thresholds, np.float32)
        if op.evidence.type.quant is not None:
            limits = np.array([op.levels(limit) for limit in op.class_thresholds], np.int32)
        return self.writer.constant(limits, "thresholds")


def threshold_text(exit: Exit, threshold: float) -> str:
    """What the C code compares a confidence with."""
    if exit.evidence.type.quant is not None:
        return str(exit.levels(threshold))
    return "INFINITY" if math.isinf(threshold) else c_float(threshold)


def quant_fields(quant: Quant | None) -> dict[str, object] | None:
    """Scale and zero point as C."""
    return None if quant is None else {"scale": c_float(quant.scale), "zero_point": quant.zero_point}
