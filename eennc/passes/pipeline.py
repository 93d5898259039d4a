"""Runs passes in order: the checks around each, the instruments, and what happens when one fails."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, cast

from eennc.ir.graph import Module
from eennc.ir.op import VerifyError
from eennc.ir.ops.candidate import Candidate
from eennc.ir.ops.exit import Exit
from eennc.ir.quantised import computes_in_integers
from eennc.ir.verifier import verify
from eennc.passes.base import PASSES, Context, Pass
from eennc.passes.reproducer import PassFailed, write_reproducer
from eennc.support.diagnostics import Place, UserError, unknown
from eennc.support.options import PlaceOf, build

Entry = tuple[str, Mapping[str, object]]
EntryPath = tuple[str | int, ...]

GROUPS: dict[str, tuple[str, ...]] = {
    "canonicalise": (
        "simplify-shapes",
        "fold-constants",
        "remove-identity",
        "fold-pad",
        "fold-batchnorm",
        "fuse-activation",
        "cse",
        "dce",
    ),
}
"""A name that stands for several passes."""

PRESET: tuple[Entry, ...] = (
    ("canonicalise", {}),
    ("find-exits", {}),
    ("insert-exits", {}),
    ("train-exits", {}),
    ("annotate-cost", {}),
    ("solve-thresholds", {}),
)
"""What runs where the user asks for no passes."""


class Instrument(Protocol):
    """Watches a pipeline. Instruments must not change the module."""

    def before(self, p: Pass, module: Module) -> None:
        """`p` is about to run."""
        ...

    def after(self, p: Pass, module: Module, changed: bool, seconds: float) -> None:
        """`p` has run, for `seconds` of wall time, and the module was verified."""
        ...


def build_passes(entries: Iterable[Entry], place_of: PlaceOf | None = None) -> list[Pass]:
    """The passes of (name, options) entries, groups expanded.

    `place_of((i,))` is the place of the name of entry i, `place_of((i, "limit"))` that of its option. Raises UserError
    for an unknown pass or option.
    """
    locate = place_of or _nowhere
    passes: list[Pass] = []
    for index, (name, options) in enumerate(entries):
        if name in GROUPS:
            if options:
                raise UserError(
                    f"'{name}' stands for several passes and has no options",
                    place=locate((index, next(iter(options)))),
                    hint=f"list the passes instead: {', '.join(GROUPS[name])}",
                )
            passes.extend(PASSES.get(member)() for member in GROUPS[name])
        elif name not in PASSES:
            raise unknown("pass", name, [*PASSES, *GROUPS], place=locate((index,)))
        else:
            here = partial(_below, locate, index)
            passes.append(build(PASSES.get(name), options, what=f"pass '{name}'", place_of=here))
    return passes


def _nowhere(path: EntryPath) -> None:
    return None


def _below(locate: PlaceOf, index: int, path: EntryPath) -> Place | None:
    return locate((index, *path))


def facts_of(module: Module) -> frozenset[str]:
    """The facts that hold in a module as it stands.

    Whether heads were trained does not show in it: of exits that came in with the model it is believed.
    """
    facts: set[str] = set()
    for op in module.ops():
        if isinstance(op, Candidate):
            facts.add("candidates")
        elif isinstance(op, Exit):
            facts |= {"exits", "trained-heads"}
            if op.counts:
                facts.add("thresholds")
        if "macs" in op.notes:
            facts.add("costs")
    if computes_in_integers(module.ops()):
        facts.add("int8")
    if module.stage == "segmented":
        facts.add("segments")
    if "input_range" in module.attributes:
        facts.add("ranges")
    return frozenset(facts)


def check_order(passes: Sequence[Pass], facts: frozenset[str] = frozenset()) -> None:
    """Raise UserError where a pass requires what nothing before it ensures; `facts` hold at the start."""
    held = set(facts)
    taken: dict[str, str] = {}
    for p in passes:
        for fact in sorted(p.requires - held):
            makers = sorted(name for name in PASSES if fact in PASSES.get(name).ensures)
            lost = f", and '{taken[fact]}' takes it away" if fact in taken else ""
            raise UserError(
                f"pass '{p.name}' requires '{fact}', which no pass before it ensures{lost}",
                hint=f"put {' or '.join(makers)} before it" if makers else None,
            )
        taken.update(dict.fromkeys(p.invalidates & held, p.name))
        held = (held - p.invalidates) | p.ensures


@dataclass(frozen=True)
class Pipeline:
    """Passes to run in order on a module.

    `verify` checks the module after each pass. When a pass fails by its own fault, a reproducer is written into
    `reproducers` (the working directory where None).
    """

    passes: Sequence[Pass]
    instruments: Sequence[Instrument] = ()
    verify: bool = True
    reproducers: Path | None = None

    def run(self, module: Module, ctx: Context) -> bool:
        """Run the passes, changing `module` in place; returns whether any changed it.

        Raises UserError for the user's mistakes and PassFailed, with a reproducer written, for a pass that raised
        something else or broke the IR.
        """
        passes = self.passes
        check_order(passes, facts_of(module))
        if self.verify:
            try:
                verify(module)
            except VerifyError as error:
                raise UserError(f"the module is broken before any pass: {error}") from error
        changed = False
        for index in range(len(passes)):
            changed |= self._run_one(module, ctx, passes[index:])
        return changed

    def _run_one(self, module: Module, ctx: Context, rest: Sequence[Pass]) -> bool:
        p = rest[0]
        for instrument in self.instruments:
            instrument.before(p, module)
        before = module.copy()
        start = time.perf_counter()
        try:
            # a third party's pass may forget to say
            found = cast(object, p.run(module, ctx))
            if found not in (True, False):
                raise TypeError(f"run must return whether it changed anything, not {found!r}")
            changed = bool(found)
            if self.verify:
                verify(module)
        except UserError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise UserError(f"pass '{p.name}' found no space left on the disk: {error}") from error
            raise _failed(before, rest, ctx, error, self.reproducers or Path()) from error
        seconds = time.perf_counter() - start
        for instrument in self.instruments:
            instrument.after(p, module, changed, seconds)
        return changed


def up_to(last: str | None, passes: Sequence[Pass]) -> Sequence[Pass]:
    """The passes up to the first called `last`, or up to the end of the group called so; all where None. Raises
    UserError where none is.
    """
    if last is None:
        return passes
    names = [p.name for p in passes]
    groups = [group for group, members in GROUPS.items() if members[-1] in names]
    if last not in (*names, *groups):
        raise unknown("pass of this pipeline", last, {*names, *groups})
    return passes[: names.index(GROUPS[last][-1] if last in groups else last) + 1]


def _failed(before: Module, rest: Sequence[Pass], ctx: Context, error: Exception, folder: Path) -> PassFailed:
    what = "broke the IR" if isinstance(error, VerifyError) else "failed"
    message = f"pass '{rest[0].name}' {what}: {type(error).__name__}: {error}"
    try:
        return PassFailed(message, write_reproducer(before, rest, ctx.seed, error, folder))
    except OSError as unwritten:
        return PassFailed(f"{message}\n(no reproducer could be written: {unwritten})", None)
