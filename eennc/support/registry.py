"""Named things that plug in: passes, backends, ops, foreign forms."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Generic, TypeVar

from eennc.support.diagnostics import UserError, unknown

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to things of one kind; a name is taken once."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._things: dict[str, T] = {}

    def add(self, name: str, thing: T) -> T:
        """Register `thing`; raises UserError where another thing has the name."""
        if self._things.setdefault(name, thing) is not thing:
            raise UserError(f"another {self.kind} is called '{name}' already", hint="rename one of them")
        return thing

    def get(self, name: str) -> T:
        """The thing called `name`; raises UserError with a did-you-mean."""
        if name not in self._things:
            raise unknown(self.kind, name, self._things)
        return self._things[name]

    def __contains__(self, name: str) -> bool:
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._things))

    def __len__(self) -> int:
        return len(self._things)


def import_folder(package: ModuleType) -> list[ModuleType]:
    """Import every module of a package, in order of name, so that what they declare registers itself."""
    return [
        importlib.import_module(f"{package.__name__}.{found.name}")
        for found in sorted(pkgutil.iter_modules(package.__path__), key=lambda found: found.name)
    ]
