"""Finds the passes in modules and registers them."""

from __future__ import annotations

import inspect
from types import ModuleType

from eennc.passes.base import PASSES, Pass
from eennc.support.diagnostics import Place, UserError
from eennc.support.registry import import_folder


def register_folder(package: ModuleType) -> None:
    """Register every pass in a package and the packages in it."""
    for module in import_folder(package):
        register_passes(module)
        if hasattr(module, "__path__"):
            register_folder(module)


def register_passes(module: ModuleType) -> None:
    """Register the passes that `module` itself defines (a base class without `run` is none).

    Raises UserError for a class that is no frozen dataclass: its fields would not be options.
    """
    found = [
        thing
        for thing in vars(module).values()
        if isinstance(thing, type)
        and issubclass(thing, Pass)
        and thing.__module__ == module.__name__
        and thing.run is not Pass.run
    ]
    for cls in found:
        if "__dataclass_fields__" not in vars(cls):
            file, line = inspect.getsourcefile(cls) or module.__name__, inspect.getsourcelines(cls)[1]
            raise UserError(
                f"pass class {cls.__name__} is not a dataclass",
                place=Place(file, line),
                hint="write @dataclass(frozen=True) above it",
            )
        PASSES.add(cls.name, cls)
