"""Finds passes, backends and ops: the built-in ones, those of installed packages, those in a user's file.

A package offers its own by an entry point of the group `eennc.plugins`: a function without arguments that registers
them. The built-ins come in the same way.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import cast

from eennc.support.diagnostics import Place, UserError

GROUP = "eennc.plugins"
BUILT_IN = (
    EntryPoint("passes", "eennc.passes:register", GROUP),
    EntryPoint("backends", "eennc.backends:register", GROUP),
)
"""What `eennc` itself offers, also where it runs from a checkout that is not installed."""


def load_plugins() -> None:
    """Call every entry point of the group, the built-ins first. May be called again.

    Raises UserError naming the package whose plugin fails.
    """
    for point in BUILT_IN:
        _call(point)
    values = {point.value for point in BUILT_IN}
    others = {(point.name, point.value): point for point in entry_points(group=GROUP) if point.value not in values}
    for _, point in sorted(others.items()):
        try:
            _call(point)
        except Exception as error:
            package = point.dist.name if point.dist else point.value
            reason = error.message if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            raise UserError(
                f"plugin '{point.name}' of package '{package}' failed: {reason}",
                place=_place(error, None),
                hint=f"update or uninstall '{package}'",
            ) from error


def load_file(path: Path) -> None:
    """Import a user's Python file and register the passes defined in it; backends and ops do so by their decorators.

    Raises UserError with file:line where there is no such file, or it does not run.
    """
    from eennc.passes.discovery import register_passes

    path = path.resolve()
    name = f"eennc_user_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return
    if not path.is_file():
        raise UserError("no such file", place=Place(str(path)))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError("not a Python file", place=Place(str(path)), hint="its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    # dataclasses and inspect look a class's module up
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        register_passes(module)
    except UserError as error:
        del sys.modules[name]
        raise error.at(_place(error, path) or Place(str(path))) from None
    except Exception as error:
        del sys.modules[name]
        raise UserError(
            f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}",
            place=_place(error, path),
            hint="the file given with --load must run as it is",
        ) from error
    except BaseException:
        del sys.modules[name]
        raise


def _call(point: EntryPoint) -> None:
    cast(Callable[[], None], point.load())()


def _place(error: BaseException, path: Path | None) -> Place | None:
    """The line of the user's file that an error comes from: the innermost one, of any file where `path` is None."""
    if isinstance(error, SyntaxError) and error.filename:
        return Place(
            error.filename, error.lineno, error.offset, excerpt=error.text.rstrip("\n") if error.text else None
        )
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if path is None or frame.filename == str(path)
    ]
    if not frames:
        return Place(str(path)) if path else None
    return Place(frames[-1].filename, frames[-1].lineno)
