"""ee.exit."""

from __future__ import annotations

import math
from typing import cast, get_args

import numpy as np

from eennc.ir.fields import choice, integer, number, numbers, optional_tensor, tensor, tensors, text
from eennc.ir.op import Op, op
from eennc.ir.rules import (
    CLASS_THRESHOLDS,
    FORMS,
    NO_CLASS,
    STREAM,
    Agreement,
    Kind,
    Numbers,
    Rule,
    agreement,
    confidence,
    first_level,
)
from eennc.ir.types import Array, FloatArray, TensorType
from eennc.ir.values import Value


@op("ee.exit")
class Exit(Op):
    """An early exit. Per sample: where the rule's score is at least `threshold`, the network's answer is `scores` and
    nothing after it runs; else the carried values go on. The only way past an exit is through its results, one per
    carried value, of the same type.

    `kind` says what `scores` [N, classes] are: logits or probabilities. The rule (`eennc.ir.rules`) looks at `logits`
    where they are given, else at `scores`. Both are floats, or int8 with a quantisation, and then logits. The rule
    `patience` looks at the classes that this exit and the ones before it name: its score is how many in a row name the
    same, its threshold a whole number. A threshold of inf never fires, and such an exit does not count for patience:
    nobody runs its head. The rule `temporal-patience` has the score of `margin`, and the exit fires only where the
    class that it names is the one that was answered to the sample before: a state, which whoever runs the network
    holds.

    `class_thresholds`, one per class or none, are thresholds that a sample must reach besides, by the class that the
    scores name, the first of equals; not of patience. `points` are the thresholds at the module's other operating
    points, in the order of the module's attribute `points`. `exit` numbers the exits from 0 in the order of the data
    flow, `place` names the tensor it stands behind.
    """

    pure = False

    scores = tensor(rank=2)
    logits = optional_tensor(rank=2)
    carry = tensors()
    exit = integer(minimum=0)
    place = text("")
    kind = choice(*get_args(Kind), default="logits")
    rule = choice(*get_args(Rule), default="max_probability")
    temperature = number(1.0)
    threshold = number(math.inf)
    class_thresholds = numbers(())
    points = numbers(())

    def verify(self) -> None:
        """Something must be carried, all of it per sample; temperature and rule must make sense for the scores."""
        if not self.carry:
            raise self.fail("an exit must carry at least one value to the rest of the network")
        batch = self.scores.type.shape[:1]
        for value in self.carry:
            if value.type.shape[:1] != batch:
                raise self.fail(f"operand 'carry' must hold one entry per sample, as the scores do, not {value.type}")
        if self.logits is not None and self.logits.type.shape != self.scores.type.shape:
            raise self.fail(f"operand 'logits' must have the shape of the scores, not {self.logits.type}")
        if not 0 < self.temperature < math.inf:
            raise self.fail(f"temperature must be positive and finite, not {self.temperature}")
        for name, value in (("scores", self.scores), ("logits", self.logits)):
            if value is not None and not value.type.dtype.is_float and value.type.quant is None:
                raise self.fail(f"operand '{name}' must be floats or quantised, not {value.type}")
        if self.evidence.type.quant is not None and self.evidence_kind != "logits":
            raise self.fail("on quantised numbers the rule must look at logits")
        if self.rule not in FORMS[self.numbers]:
            raise self.fail(f"the rule {self.rule} has no form for {self.numbers} logits")
        if self.rule == "entropy" and self.classes == 1:
            raise self.fail("entropy needs two classes")
        if self.class_thresholds and (self.rule == "patience" or len(self.class_thresholds) != self.classes):
            raise self.fail(f"class_thresholds must be one for each of {self.classes} classes, and none for patience")
        if self.rule == "patience" and self.counts and not self.threshold.is_integer():
            raise self.fail(f"the threshold of patience must be a whole number of exits, not {self.threshold:g}")

    def infer(self) -> tuple[TensorType, ...]:
        """The carried types."""
        return tuple(value.type for value in self.carry)

    def evaluate(self, scores: Array, logits: Array | None, *carry: Array) -> tuple[Array, ...]:
        """What goes on where the exit does not fire. The interpreter, not this, removes the samples that leave."""
        return carry

    @property
    def evidence(self) -> Value:
        """What the rule looks at."""
        return self.scores if self.logits is None else self.logits

    @property
    def evidence_kind(self) -> Kind:
        """What that is."""
        return cast(Kind, self.kind) if self.logits is None else "logits"

    @property
    def unit(self) -> float:
        """The scale of the evidence, 1 where it is floats."""
        quant = self.evidence.type.quant
        return 1.0 if quant is None else quant.scale

    @property
    def streams(self) -> bool:
        """Whether it looks at the class that was answered last."""
        return self.rule == STREAM

    @property
    def score_rule(self) -> Rule:
        """The rule that its number is by: that of temporal-patience is the margin."""
        return "margin" if self.streams else cast(Rule, self.rule)

    @property
    def counts(self) -> bool:
        """Whether it can fire. One that cannot is none to `patience`."""
        return self.threshold < math.inf

    @property
    def classes(self) -> int:
        """How many there are."""
        return int(self.scores.type.shape[1])

    @property
    def numbers(self) -> Numbers:
        """What the rule looks at."""
        return "float" if self.evidence.type.quant is None else "int8"

    @property
    def forms(self) -> tuple[str, ...]:
        """What a backend must be able to write, of `eennc.ir.rules.FORMS`."""
        return (self.rule, CLASS_THRESHOLDS) if self.class_thresholds else (self.rule,)

    def limits(self, threshold: float) -> tuple[float, ...]:
        """The scores from which on it fires at a threshold: one for all classes, or one for each."""
        return tuple(max(threshold, limit) for limit in self.class_thresholds) or (threshold,)

    def remember(self, scores: Array, before: Agreement | None) -> Agreement | None:
        """What `patience` knows of each sample behind this exit; `before`: behind the exit before it."""
        return agreement(scores, before) if self.counts else before

    def leaves(self, scores: Array, evidence: Array, before: Agreement | None, last: Array | int = NO_CLASS) -> Array:
        """Whether each sample leaves, bool [n], from `scores` and `evidence` [n, classes], what `patience` knew before
        this exit, and the class `last` answered before each sample, int [n] or the same for all.
        """
        if not self.counts:
            return np.zeros(len(scores), bool)
        patient = self.rule == "patience"
        score = agreement(scores, before).runs.astype(np.float32) if patient else self.confidence(evidence)
        limits = np.array(self.limits(self.threshold), np.float32)
        named = scores.argmax(axis=1)
        fires = score >= (limits[named] if self.class_thresholds else limits)
        return fires & (named == last) if self.streams else fires

    def confidence(self, evidence: Array) -> FloatArray:
        """The rule's score of each sample, float32 [n], from `evidence` [n, classes], integers or the real numbers that
        they stand for; not of `patience`.
        """
        unit = self.unit if evidence.dtype.kind == "i" else 1.0
        return confidence(self.score_rule, evidence, self.evidence_kind, self.temperature, unit)

    def levels(self, threshold: float | None = None) -> int:
        """On quantised evidence: the level (`eennc.ir.rules.levels`) from which on the exit fires.

        What integer code compares with; fires for the same samples as `confidence` against the threshold (None: the
        exit's own).
        """
        limit = self.threshold if threshold is None else threshold
        return first_level(self.score_rule, limit, self.temperature, self.unit)
