"""ee.exit."""

from __future__ import annotations

import math

import numpy as np

from eennc.ir.fields import choice, integer, number, tensor, tensors, text
from eennc.ir.op import Op, op
from eennc.ir.types import FloatArray, TensorType

SMALLEST_PROBABILITY = np.float32(1e-30)
"""Probabilities are clamped here before their logarithm is taken."""


@op("ee.exit")
class Exit(Op):
    """An early exit. Per sample: where the rule's score of `scores` is at least `threshold`, the network's answer is
    `scores` and nothing after it runs; else the carried values go on. The only way past an exit is through its
    results, one per carried value, of the same type.

    `kind` says what `scores` [N, classes] are: logits or probabilities. The rule `max_probability` is
    max softmax(z / temperature), z the logits or the logarithm of the probabilities. A threshold of inf never fires.
    `exit` numbers the exits from 0 in the order of the data flow, `place` names the tensor it stands behind.
    """

    pure = False

    scores = tensor(rank=2, floats=True)
    carry = tensors()
    exit = integer(minimum=0)
    place = text("")
    kind = choice("logits", "probabilities", default="logits")
    rule = choice("max_probability", default="max_probability")
    temperature = number(1.0)
    threshold = number(math.inf)

    def verify(self) -> None:
        """Something must be carried, all of it per sample, and the temperature be positive."""
        if not self.carry:
            raise self.fail("an exit must carry at least one value to the rest of the network")
        batch = self.scores.type.shape[:1]
        for value in self.carry:
            if value.type.shape[:1] != batch:
                raise self.fail(f"operand 'carry' must hold one entry per sample, as the scores do, not {value.type}")
        if not 0 < self.temperature < math.inf:
            raise self.fail(f"temperature must be positive and finite, not {self.temperature}")

    def infer(self) -> tuple[TensorType, ...]:
        """The carried types."""
        return tuple(value.type for value in self.carry)

    def evaluate(self, scores: FloatArray, *carry: FloatArray) -> tuple[FloatArray, ...]:
        """What goes on where the exit does not fire. The interpreter, not this, removes the samples that leave."""
        return carry

    def confidence(self, scores: FloatArray) -> FloatArray:
        """The rule's score of each sample, float32 [n], from `scores` float32 [n, classes]."""
        return max_probability(scores, self.kind, self.temperature)


def max_probability(scores: FloatArray, kind: str, temperature: float) -> FloatArray:
    """max softmax(z / temperature) per row, float32; z is `scores`, or its logarithm where they are probabilities."""
    logits = np.log(np.maximum(scores, SMALLEST_PROBABILITY)) if kind == "probabilities" else scores
    scaled = logits * np.float32(1 / temperature)
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    # the largest entry is now 0, so its probability is 1 over the sum
    return (np.float32(1) / np.exp(scaled).sum(axis=1, dtype=np.float32)).astype(np.float32)
