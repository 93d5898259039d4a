"""What a backend is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

from eennc.artifact import CSpec
from eennc.ir.cuts import exits_of
from eennc.ir.graph import Graph, Module
from eennc.ir.rules import Numbers
from eennc.passes.base import Pass
from eennc.passes.exits.form_segments import FormSegments
from eennc.passes.target import Target
from eennc.support.diagnostics import UserError
from eennc.support.registry import Registry


@dataclass(frozen=True)
class Emitted:
    """What a backend wrote: the artefact's file, and the base network's beside it (None where it writes none), by name.
    `batch` is the number of samples that the artefact takes at once, None for any; `c` what users of C code must know;
    `point_input` the name of the input that takes the number of an operating point, `state_input` of the one that takes
    the class that was answered last, None where there is none.
    """

    model: str
    base: str | None
    batch: int | None
    c: CSpec | None = None
    point_input: str | None = None
    state_input: str | None = None


@dataclass(frozen=True)
class Backend:
    """Writes artefacts. Subclasses are frozen dataclasses; their fields are their options."""

    name: ClassVar[str] = ""
    lowering: ClassVar[tuple[Pass, ...]] = (FormSegments(),)
    """Passes that bring the module into the form that `emit` takes."""
    rules: ClassVar[Mapping[Numbers, Sequence[str]]] = {"float": (), "int8": ()}
    """The exits' rules that it writes, of `eennc.ir.rules.FORMS`, by what they look at. Others are refused for it."""

    def passes(self) -> tuple[Pass, ...]:
        """Those passes, where they depend on the options."""
        return self.lowering

    def target(self) -> Target | None:
        """What passes may ask about the device; None where the backend compiles for none. Raises UserError."""
        return None

    def check(self, module: Module, *, integers: bool) -> None:
        """Raise UserError where `emit` will refuse what comes of `module`: asked before the passes that take long.
        `integers`: whether it will be quantised by then.
        """

    def emit(self, module: Module, base: Graph, folder: Path) -> Emitted:
        """Write `module` (stage segmented) and the exit-free network `base` into `folder`."""
        raise TypeError(f"{type(self).__name__} does not define emit")


BACKENDS: Registry[type[Backend]] = Registry("backend")
BackendClass = TypeVar("BackendClass", bound=type[Backend])


def backend(cls: BackendClass) -> BackendClass:
    """Class decorator: registers a backend under its name."""
    BACKENDS.add(cls.name, cls)
    return cls


def check_rules(target: Backend, module: Module) -> None:
    """Raise UserError for an exit whose rule the backend does not write; it names both, and what would do."""
    for exit in exits_of(module.main):
        for form in exit.forms:
            if form not in target.rules[exit.numbers]:
                there = ", ".join(target.rules[exit.numbers]) or "none"
                raise UserError(
                    f"the {target.name} backend cannot write {form} of {exit.numbers} logits "
                    f"(exit {exit.exit}, '{exit.place}')",
                    allowed=f"its rules for {exit.numbers} logits: {there}",
                    hint="`eennc --list rules` shows which backend has which rule",
                )


def check_batch(module: Module) -> None:
    """Raise UserError for a network whose batch is baked in and not 1."""
    baked = module.attributes.get("batch")
    if baked not in (None, 1):
        raise UserError(
            f"the network takes {baked} samples at once, and each may stop at another exit",
            hint="export it with a free batch axis, or with batch 1",
        )
