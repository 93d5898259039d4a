"""One sample at a time: nested `If`, the rest of the network in the else branch."""

from __future__ import annotations

import numpy as np

from eennc.backends.onnx.form import Answer, Branch, Form, opened
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.exit import Exit
from eennc.ir.types import UNKNOWN, DType, TensorType
from eennc.ir.values import Value


class Single(Form):
    """The form for a batch of 1. A pause's state begins with whether the network goes on."""

    resume_type = TensorType((), DType.BOOL)

    @property
    def part_types(self) -> list[TensorType]:
        """Scores and exit."""
        return [opened(self.scores), TensorType((UNKNOWN,), DType.I64)]

    def answer(self, emitter: Emitter, scores: Value, exit: int) -> Answer:
        """Scores and the number."""
        return Answer((self.real(scores, emitter), emitter.constant(np.array([exit]), f"exit.{exit}")))

    def outputs(self, emitter: Emitter, answer: Answer) -> tuple[str, str]:
        """The two parts."""
        scores, exit = answer.parts
        return scores, exit

    def exit(self, op: Exit, emitter: Emitter, depth: int) -> Answer:
        """If the exit fires, its scores; else the rest."""
        leaves = self.leaves(op, emitter, per_sample=False)
        stop = emitter.child()
        here = self.answer(stop, op.scores, op.exit)
        on = emitter.child()
        names = [emitter.name_of(value) for value, _ in self.passed(op)]
        if self.pauses(op, depth):
            going = on.constant(np.array(True), "goes_on")
            later = Answer(self.answer(on, op.scores, op.exit).parts, op, (going, *names))
        else:
            self.enter(op, names, on)
            later = self.stretch(on, op, depth + 1)
        return self.branched(
            op,
            emitter,
            leaves,
            Branch(f"{op.place} leaves", stop, here),
            Branch(f"{op.place} goes on", on, later),
        )

    def resumed(self, answer: Answer, paused: Exit, emitter: Emitter) -> Answer:
        """If the network goes on, the rest; else the answer that is there."""
        on = emitter.child()
        self.enter(paused, answer.state[1:], on)
        later = self.stretch(on, paused, 0)
        here = Answer(answer.parts)
        on_branch = Branch(f"{paused.place} resumes", on, later)
        there = Branch(f"{paused.place} has left", emitter.child(), here)
        return self.branched(paused, emitter, answer.state[0], on_branch, there)
