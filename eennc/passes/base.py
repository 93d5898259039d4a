"""What a pass is, and what it may ask for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar, cast

from eennc.data.cache import Cache
from eennc.data.splits import Splits
from eennc.ir.graph import Module
from eennc.ir.rules import Numbers
from eennc.passes.target import Target
from eennc.support.diagnostics import UserError
from eennc.support.instruments import Progress, Silent
from eennc.support.registry import Registry

T = TypeVar("T")


class Results:
    """What passes found out that is not in the IR (tables of scores, a policy), one object per type."""

    def __init__(self) -> None:
        self._found: dict[type[Any], Any] = {}

    def put(self, thing: object) -> None:
        """Keep `thing`, in the place of an earlier one of its type."""
        self._found[type(thing)] = thing

    def drop(self, *kinds: type[Any]) -> None:
        """Forget the things of these types: they are true no longer."""
        for kind in kinds:
            self._found.pop(kind, None)

    def get(self, kind: type[T]) -> T:
        """The thing of this type; raises UserError where no pass has put one."""
        if kind not in self._found:
            raise UserError(f"no pass before has produced a {kind.__name__}", hint="check the order of the passes")
        return cast(T, self._found[kind])

    def find(self, kind: type[T]) -> T | None:
        """The thing of this type, or None."""
        return cast("T | None", self._found.get(kind))


@dataclass
class Context:
    """What a pass may use besides the module."""

    data: Splits = field(default_factory=Splits)
    cache: Cache = field(default_factory=Cache.temporary)
    seed: int = 0
    progress: Progress = field(default_factory=Silent)
    results: Results = field(default_factory=Results)
    target: Target | None = None
    """The device, where the backend compiles for one."""
    rules: Mapping[Numbers, Sequence[str]] | None = None
    """The exits' rules that the backend writes, of `eennc.ir.rules.FORMS`; None where there is no backend."""


@dataclass(frozen=True)
class Pass:
    """A transformation or analysis of a module. Subclasses are frozen dataclasses; their fields are their options.

    `requires` and `ensures` name facts ("exits", "trained-heads", "costs"): the pipeline is refused before it starts
    where nothing ensures what a pass requires; `invalidates` takes facts away. So it is where data are missing that a
    pass `needs`, or labels of data in `labelled`.

    The docstring's Before / After blocks are executed by the tests. A block is ops in IR text, one a line, and above
    them a line for each free name: `argument %x : tensor<...>`, `weight @w : tensor<...>` (random content from
    [0.5, 1.5)) or `weight @w : tensor<...> = [1, 2]`; weights of dense ops and plain convolutions may go without.
    What Before declares holds in After too. `return %a, %b` ends a block, without it the last op's results are
    returned. Or a block is whole graphs: `graph @main(...) -> ... {`. A line `module attributes {classes = 3}`, or
    `module stage exits-placed attributes {...}`, sets those; without, the stage shows from the ops. The pass must make
    After of Before, with the options of a heading `After (keep=[bn1]):` or the default ones. Names of weights do not
    count, the module's line and notes only where After shows some.
    """

    name: ClassVar[str] = ""
    requires: ClassVar[frozenset[str]] = frozenset()
    ensures: ClassVar[frozenset[str]] = frozenset()
    invalidates: ClassVar[frozenset[str]] = frozenset()
    needs: ClassVar[frozenset[str]] = frozenset()
    """Splits of the data that must be given."""
    labelled: ClassVar[frozenset[str]] = frozenset()
    """Splits of the data that must have labels where they are given."""

    def __init_subclass__(cls) -> None:
        if "name" not in vars(cls):
            cls.name = re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()

    def preview(self, module: Module) -> Module:
        """What `run` will make of `module` (which stays), as far as that shows before the passes that take long; the
        backend is asked about it. Raises UserError where `run` will.
        """
        return module

    def check_target(self, target: Target | None) -> None:
        """Raises UserError where the pass needs a device to compile for, and there is none."""
        return

    def run(self, module: Module, ctx: Context) -> bool:
        """Change `module` in place; returns whether anything changed. Raises UserError for the user's mistakes."""
        raise TypeError(f"{type(self).__name__} does not define run")


PASSES: Registry[type[Pass]] = Registry("pass")
