"""A batch of any size: the survivors of an exit go on as a smaller batch, and their answers are put back in place."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import numpy as np
import onnx

from eennc.backends.onnx.form import Answer, Branch, Form
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.exit import Exit
from eennc.ir.types import UNKNOWN, DType, TensorType
from eennc.ir.values import Value


class Free(Form):
    """The form for a free batch. Without a survivor the rest does not run: onnxruntime cannot run it on no samples.

    An answer is one tensor [n, classes + 1]: the scores, and behind them the exit as one more number, so that one
    ScatterND puts back both. A pause's state begins with the survivors' rows, int64 [n, 1].
    """

    resume_type = TensorType((UNKNOWN, 1), DType.I64)

    @property
    def part_types(self) -> list[TensorType]:
        """Scores and exit in one."""
        return [TensorType((UNKNOWN, self.classes + 1), self.scores.dtype)]

    @property
    def classes(self) -> int:
        """Scores per sample."""
        return int(self.scores.shape[1])

    def answer(self, emitter: Emitter, scores: Value, exit: int) -> Answer:
        """Scores with the number behind them."""
        number = emitter.constant(np.array(exit, self.scores.dtype.numpy), f"exit.{exit}")
        pads = emitter.constant(np.array([0, 0, 0, 1]), f"exit.{exit}.pads")
        return Answer((emitter.node("Pad", [self.real(scores, emitter), pads, number], hint=f"answer.{exit}"),))

    def outputs(self, emitter: Emitter, answer: Answer) -> tuple[str, str]:
        """The two taken apart."""
        sizes = emitter.constant(np.array([self.classes, 1]), "answer.sizes")
        scores, number = emitter.node("Split", [answer.parts[0], sizes], 2, hint="answer", axis=1)
        number = emitter.node("Squeeze", [number, emitter.constant(np.array([1]), "answer.axis")], hint="answer.exit")
        return scores, emitter.node("Cast", [number], hint="answer.exit", to=onnx.TensorProto.INT64)

    def exit(self, op: Exit, emitter: Emitter, depth: int) -> Answer:
        """If any sample survives, the rest on those; else the exit's scores."""
        place = op.place
        stays = emitter.node("Not", [self.leaves(op, emitter, per_sample=True)], hint=f"{place}.stays")
        any_stays = emitter.node("ReduceMax", [stays], hint=f"{place}.any_stays", keepdims=0)
        here = self.answer(emitter, op.scores, op.exit)
        on = emitter.child()
        rows = on.node("Transpose", [on.node("NonZero", [stays], hint=f"{place}.rows")], hint=f"{place}.rows")
        names = [
            on.node("Compress", [emitter.name_of(value), stays], hint=f"{place}.survivors", axis=0)
            for value, _ in self.passed(op)
        ]
        if self.pauses(op, depth):
            later = Answer(here.parts, op, (rows, *names))
        else:
            self.enter(op, names, on)
            later = self._merged(op, here, rows, self.stretch(on, op, depth + 1), on)
        return self.branched(
            op,
            emitter,
            any_stays,
            Branch(f"{place} goes on", on, later),
            Branch(f"{place} leaves", emitter.child(), here),
        )

    def resumed(self, answer: Answer, paused: Exit, emitter: Emitter) -> Answer:
        """If any sample is left, the rest on those; else the answers that are there."""
        rows, *names = answer.state
        here = Answer(answer.parts)
        count = emitter.node("Size", [rows], hint=f"{paused.place}.left")
        zero = emitter.constant(np.array(0), f"{paused.place}.zero")
        any_left = emitter.node("Greater", [count, zero], hint=f"{paused.place}.any_left")
        on = emitter.child()
        self.enter(paused, names, on)
        later = self._merged(paused, here, rows, self.stretch(on, paused, 0), on)
        on_branch = Branch(f"{paused.place} resumes", on, later)
        there = Branch(f"{paused.place} has left", emitter.child(), here)
        return self.branched(paused, emitter, any_left, on_branch, there)

    def _merged(self, op: Exit, here: Answer, rows: str, later: Answer, emitter: Emitter) -> Answer:
        """The answers `here` with those of the rows that went on."""
        state = later.state
        if state:
            # rows of the rows
            state = (emitter.node("GatherND", [rows, state[0]], hint=f"{op.place}.rows"), *state[1:])
        put = emitter.node("ScatterND", [here.parts[0], rows, later.parts[0]], hint=f"{op.place}.answers")
        return Answer((put,), later.paused, state)
