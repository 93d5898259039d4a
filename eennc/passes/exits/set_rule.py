"""set-rule."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Gt

from eennc.ir.cuts import exits_of
from eennc.ir.graph import Module
from eennc.ir.rules import FORMS, Rule
from eennc.passes.base import Context, Pass
from eennc.support.diagnostics import UserError


def set_rule(module: Module, rule: Rule) -> None:
    """Let all exits decide by a rule. Thresholds and temperatures of another one go: such an exit never fires until it
    gets a threshold. Raises UserError where the rule has no form in an exit's numbers.
    """
    for exit in exits_of(module.main):
        if rule not in FORMS[exit.numbers]:
            raise UserError(
                f"the rule {rule} has no form for {exit.numbers} logits (exit {exit.exit}, '{exit.place}')",
                allowed=f"rules for {exit.numbers}: {', '.join(FORMS[exit.numbers])}",
            )
        if exit.rule != rule:
            exit.attrs.update(rule=rule, threshold=math.inf, temperature=1.0, points=())


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
    """The score from which on it fires. max_probability: from 0 to 1; margin: logits over temperature; patience: how
    many exits in a row, a whole number."""
    temperature: Annotated[float, Gt(0)] = 1.0
    """What the logits are divided by."""

    def __post_init__(self) -> None:
        if self.rule == "patience" and not (self.threshold >= 1 and self.threshold.is_integer()):
            raise ValueError(f"threshold: of patience it is a number of exits, not {self.threshold:g}")

    def preview(self, module: Module) -> Module:
        """With the rule set."""
        copy = module.copy()
        set_rule(copy, self.rule)
        return copy

    def run(self, module: Module, ctx: Context) -> bool:
        """Set rule, threshold and temperature."""
        if module.stage == "segmented":
            raise UserError("set-rule: the module is segmented already", hint="put it before form-segments")
        set_rule(module, self.rule)
        for exit in exits_of(module.main):
            exit.attrs.update(threshold=self.threshold, temperature=self.temperature, points=())
            exit.origin = exit.origin.via(self.name)
        module.attributes.pop("points", None)
        return True
