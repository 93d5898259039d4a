"""set-rule."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Gt

from eennc.ir.cuts import exits_of
from eennc.ir.graph import Module
from eennc.ir.rules import CLASS_THRESHOLDS, FORMS, Rule
from eennc.passes.base import Context, Pass
from eennc.policy.stream_table import StreamSummary
from eennc.policy.summary import Summary
from eennc.policy.table import Policy, Tables
from eennc.support.diagnostics import UserError


def set_rule(module: Module, rule: Rule) -> None:
    """Let all exits decide by a rule. Thresholds and temperatures of another one go: such an exit never fires until it
    gets a threshold. Raises UserError where the rule has no form in an exit's numbers.
    """
    for exit in exits_of(module.main):
        there = [form for form in FORMS[exit.numbers] if form != CLASS_THRESHOLDS]
        if rule not in there:
            raise UserError(
                f"the rule {rule} has no form for {exit.numbers} logits (exit {exit.exit}, '{exit.place}')",
                allowed=f"rules for {exit.numbers} logits: {', '.join(there)}",
            )
        if exit.rule != rule:
            exit.attrs.update(rule=rule, threshold=math.inf, temperature=1.0, class_thresholds=(), points=())
            module.attributes.pop("points", None)


def forget_figures(ctx: Context) -> None:
    """Before thresholds are changed: what was found out about others is not reported with them."""
    ctx.results.drop(Tables, Policy, Summary, StreamSummary)


@dataclass(frozen=True)
class SetRule(Pass):
    """Give all exits a rule and a threshold that you know, where solve-thresholds would choose one on data.

    No exit is removed. `eennc --list rules` shows which backend writes which rule.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"exits"})
    ensures: ClassVar[frozenset[str]] = frozenset({"thresholds"})

    rule: Rule
    """How an exit decides."""
    threshold: float
    """The score from which on it fires. max_probability, entropy: from 0 to 1; margin, temporal-patience: logits
    over temperature; patience: how many exits in a row, a whole number."""
    temperature: Annotated[float, Gt(0)] = 1.0
    """What the logits are divided by."""
    class_thresholds: tuple[float, ...] = ()
    """Scores that a sample must reach besides, by the class that the exit names; one per class, or none. Not of
    patience."""

    def __post_init__(self) -> None:
        if self.rule == "patience" and not (self.threshold >= 1 and float(self.threshold).is_integer()):
            raise ValueError(f"threshold: of patience it is a number of exits, not {self.threshold:g}")
        if self.rule == "patience" and self.class_thresholds:
            raise ValueError("class_thresholds: patience has none")

    def preview(self, module: Module) -> Module:
        """With the rule set."""
        copy = module.copy()
        self._set(copy)
        return copy

    def run(self, module: Module, ctx: Context) -> bool:
        """Set rule, threshold and temperature."""
        if module.stage == "segmented":
            raise UserError("set-rule: the module is segmented already", hint="put it before form-segments")
        forget_figures(ctx)
        self._set(module)
        module.attributes.pop("points", None)
        return True

    def _set(self, module: Module) -> None:
        set_rule(module, self.rule)
        for exit in exits_of(module.main):
            if self.class_thresholds and len(self.class_thresholds) != exit.classes:
                raise UserError(f"set-rule: {len(self.class_thresholds)} class_thresholds for {exit.classes} classes")
            exit.attrs.update(
                threshold=float(self.threshold),
                temperature=self.temperature,
                class_thresholds=self.class_thresholds,
                points=(),
            )
            exit.origin = exit.origin.via(self.name)
