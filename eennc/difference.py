"""Where a quantised artefact departs from the float network: layer by layer, exit by exit."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from eennc.artifact import FLOAT_IR, INT8_IR, read_report, sha256_of
from eennc.interop.onnx.execute import execute, stream
from eennc.interop.onnx.reader import read_model
from eennc.ir.cuts import exit_free, exits_of, without_exits
from eennc.ir.graph import Module
from eennc.ir.interpreter import run_graph
from eennc.ir.op import Op
from eennc.ir.ops.exit import Exit
from eennc.ir.ops.q_quantize import Quantize
from eennc.ir.rules import NO_CLASS, Agreement
from eennc.ir.text import load_module
from eennc.ir.types import Array, Quant
from eennc.ir.values import Result, Value, Weight
from eennc.passes.base import Context
from eennc.passes.fold_input import FoldInput
from eennc.passes.pipeline import Pipeline
from eennc.passes.quantise.calibrate import competing
from eennc.passes.quantise.conversion import FLOAT_OP
from eennc.passes.quantise.groups import logits_in
from eennc.plugins import load_plugins
from eennc.recipe.inline import inline_passes
from eennc.runtime.session import HostSession
from eennc.support.diagnostics import Place, UserError
from eennc.support.instruments import Progress, task

CHUNK = 16
"""Samples at once; all values of both networks are in memory."""


@dataclass(frozen=True)
class Layer:
    """One op of the integer network, and how far its result is from the float network's: decibels of signal to noise
    (infinite where nothing differs). `own`: where only its own rounding counts, its operands being the float network's.
    Logits far behind the largest of their sample, which calibrate lets go, do not count.
    """

    node: str
    op: str
    signal_to_noise: float
    own: float | None


@dataclass(frozen=True)
class ExitFlips:
    """One exit: shares of samples that leave there in floats and in integers by the same threshold, and how many
    samples leave there in one of them only.
    """

    exit: int
    place: str
    float_share: float
    int8_share: float
    flips: int


@dataclass(frozen=True)
class Difference:
    """What was found on n samples.

    layers: in the order of the network. departs: number of the first one whose signal to noise is below the limit, or
    None. flips, classes: samples that leave at another exit, or get another class. model: signal to noise of the float
    network's own answer against the model as it was given. artefact_exits, artefact_classes: shares of samples for
    which the artefact, run on this computer, agrees with the integer arithmetic.
    """

    samples: int
    limit: float
    layers: tuple[Layer, ...]
    departs: int | None
    exits: tuple[ExitFlips, ...]
    flips: int
    classes: int
    model: float
    artefact_exits: float
    artefact_classes: float


def difference(session: HostSession, model: Path, x: Array, *, limit: float, progress: Progress) -> Difference:
    """Compare an artefact with the float network it was made from, on samples `x` of its input.

    Raises UserError where the artefact is not quantised, or `model` is not the file that it was compiled from.
    """
    folder = session.folder
    if INT8_IR not in session.manifest.files or FLOAT_IR not in session.manifest.files:
        raise UserError(
            "the artefact is not quantised: there is nothing to compare layer by layer",
            place=Place(str(folder)),
            hint="compile it with calibrate and quantize-int8 among the passes",
        )
    given = _given(model, session.manifest.source_sha256)
    floats, integers = load_module(folder / FLOAT_IR), load_module(folder / INT8_IR)
    pairs = _pairs(floats, integers)
    logits = logits_in(floats)
    sums = _Sums({value for value, twin in pairs.items() if twin in logits})
    float_logits: list[list[Array]] = []
    integer_logits: list[list[Array]] = []
    exits = exits_of(integers.main)
    evidence = [exit.evidence for exit in exits]
    ends = [*evidence, integers.main.returns[0]]
    with task(progress, "compare layers", len(x)) as number:
        for values, twins in _both(floats, integers, pairs, x):
            for op in integers.main.ops:
                if op.name.startswith("q.") and op.result in twins:
                    sums.add(op, values, twins)
            float_logits.append([twins[_source(end)] for end in ends])
            integer_logits.append([values[_source(end)] for end in ends])
            progress.advance(number, len(float_logits[-1][0]))
    layers = sums.layers(integers.main.ops)
    expected, found = (
        [np.concatenate(column) for column in zip(*rows, strict=True)] for rows in (float_logits, integer_logits)
    )
    left = [_leaves(exits, logits) for logits in (expected, found)]
    answers = [_answers(logits, exit) for logits, exit in zip((expected, found), left, strict=True)]
    prediction = session.predict(x)
    return Difference(
        samples=len(x),
        limit=limit,
        layers=layers,
        departs=next((i for i, layer in enumerate(layers) if layer.signal_to_noise < limit), None),
        exits=tuple(
            ExitFlips(
                exit=number,
                place=exits[number].place if number < len(exits) else "classifier",
                float_share=float((left[0] == number).mean()),
                int8_share=float((left[1] == number).mean()),
                flips=int(((left[0] == number) != (left[1] == number)).sum()),
            )
            for number in range(len(exits) + 1)
        ),
        flips=int((left[0] != left[1]).sum()),
        classes=int((answers[0] != answers[1]).sum()),
        model=_against_model(floats, given, folder, x),
        artefact_exits=float((prediction.exit == left[1]).mean()),
        artefact_classes=float((prediction.classes == answers[1]).mean()),
    )


def _given(path: Path, digest: str) -> Module:
    """The model, which must be the one of this SHA-256."""
    if not path.is_file():
        raise UserError("no such file", place=Place(str(path)))
    text = path.suffix == ".eir"
    module = load_module(path) if text else None
    if (module.fingerprint() if module else sha256_of(path)) != digest:
        raise UserError("not the model that the artefact was compiled from", place=Place(str(path)))
    return module or read_model(path)


def _pairs(floats: Module, integers: Module) -> Mapping[Value, Value]:
    """From values of the integer network to values of the float one."""
    pairs: dict[Value, Value] = {}
    for op in integers.main.ops:
        number = op.notes.get(FLOAT_OP)
        if isinstance(number, int) and not isinstance(op, Exit):
            twin = floats.main.ops[number].results[0]
            if twin.type.shape == op.result.type.shape:
                pairs[op.result] = twin
    return pairs


def _both(
    floats: Module, integers: Module, pairs: Mapping[Value, Value], x: Array
) -> Iterator[tuple[dict[Value, Array], dict[Value, Array]]]:
    """Chunk by chunk: the integer network's values, and for those that have one their twins in floats."""
    main = integers.main
    results = [result for op in main.ops if not isinstance(op, Exit) for result in op.results]
    whole = exit_free(main, results)
    twins = list(dict.fromkeys(pairs.values()))
    start = 0
    for parts in stream(exit_free(floats.main, twins), x, batch=CHUNK):
        chunk = x[start : start + len(parts[0])]
        start += len(chunk)
        values: dict[Value, Array] = dict(zip(results, run_graph(integers, whole, [chunk]), strict=True))
        values[main.arguments[0]] = chunk
        known = dict(zip(twins, parts, strict=True))
        found = {value: known[twin] for value, twin in pairs.items()}
        # what comes in as floats is the same in both
        found.update({op.result: values[op.x] for op in main.ops if isinstance(op, Quantize)})
        yield values, found


class _Sums:
    """Squares of signal and noise, summed by op. `logits`: values of which those far behind do not count."""

    def __init__(self, logits: Collection[Value]) -> None:
        self.logits = logits
        self.signal: dict[Op, float] = {}
        self.noise: dict[Op, float] = {}
        self.own: dict[Op, float] = {}

    def add(self, op: Op, values: Mapping[Value, Array], twins: Mapping[Value, Array]) -> None:
        """What a chunk has to say of an op."""
        wanted = self._counted(twins[op.result].astype(np.float64), op)
        self.signal[op] = self.signal.get(op, 0.0) + _squares(wanted)
        found = self._counted(_real(values[op.result], op.result), op)
        self.noise[op] = self.noise.get(op, 0.0) + _squares(found - wanted)
        if all(isinstance(v, Weight) or _source(v) in twins for v in op.inputs) and not isinstance(op, Quantize):
            operands = [
                None if v is None else v.array if isinstance(v, Weight) else _rounded(twins[_source(v)], v)
                for v in op.operands
            ]
            alone = self._counted(_real(op.evaluate(*operands), op.result), op)
            self.own[op] = self.own.get(op, 0.0) + _squares(alone - wanted)

    def _counted(self, array: Array, op: Op) -> Array:
        return competing(array) if op.result in self.logits else array

    def layers(self, ops: Sequence[Op]) -> tuple[Layer, ...]:
        """All that was summed."""
        return tuple(
            Layer(
                op.origin.node or (f"head {op.notes['head']}" if "head" in op.notes else op.name),
                op.name,
                _decibels(self.signal[op], self.noise[op]),
                _decibels(self.signal[op], self.own[op]) if op in self.own else None,
            )
            for op in ops
            if op in self.signal
        )


def _source(value: Value) -> Value:
    """What an exit passes on is what it took."""
    while isinstance(value, Result) and isinstance(value.op, Exit):
        value = value.op.carry[value.index]
    return value


def _squares(array: Array) -> float:
    return float((array**2).sum())


def _real(array: Array, value: Value) -> NDArray[np.float64]:
    quant = cast(Quant, value.type.quant)
    return (array.astype(np.float64) - quant.zero_point) * quant.scale


def _rounded(array: Array, value: Value) -> Array:
    quant = cast(Quant, value.type.quant)
    return np.clip(np.rint(array / quant.scale) + quant.zero_point, -128, 127).astype(np.int8)


def _decibels(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


def _leaves(exits: Sequence[Exit], logits: Sequence[Array]) -> NDArray[np.int64]:
    """The exit of each sample, from the logits of all exits, floats or integers; the samples are one sequence."""
    if not any(exit.streams for exit in exits):
        return _left(exits, logits, NO_CLASS)
    left = np.zeros(len(logits[-1]), np.int64)
    last = NO_CLASS
    for i in range(len(left)):
        one = [table[i : i + 1] for table in logits]
        left[i] = _left(exits, one, last)[0]
        last = int(np.argmax(one[int(left[i])]))
    return left


def _left(exits: Sequence[Exit], logits: Sequence[Array], last: int) -> NDArray[np.int64]:
    """The same where `last` is the class that was answered before each."""
    left = np.full(len(logits[-1]), len(exits), np.int64)
    before: Agreement | None = None
    for exit, table in zip(exits, logits, strict=False):
        sure = exit.leaves(table, table, before, last) & (left == len(exits))
        left[sure] = exit.exit
        before = exit.remember(table, before)
    return left


def _answers(logits: Sequence[Array], left: NDArray[np.int64]) -> NDArray[np.int64]:
    classes = np.stack([table.argmax(axis=1) for table in logits])
    return classes[left, np.arange(len(left))]


def _against_model(floats: Module, given: Module, folder: Path, x: Array) -> float:
    """Signal to noise of the float network's last answer against the model's own."""
    texts = cast("list[str]", read_report(folder)["passes"])
    folded = [text for text in texts if text.partition("{")[0] == FoldInput.name]
    if folded:
        load_plugins()
        Pipeline(inline_passes(",".join(folded))).run(given, Context())
    (expected,) = execute(without_exits(given.main), x)
    (found,) = execute(without_exits(floats.main), x)
    return _decibels(_squares(expected.astype(np.float64)), _squares(found.astype(np.float64) - expected))
