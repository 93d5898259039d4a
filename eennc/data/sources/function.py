"""A Python function that returns a split: `module:function`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import cast

from eennc.data.sources import SOURCES, Source, Spec, check_names
from eennc.data.splits import Split
from eennc.support.diagnostics import Place, UserError, did_you_mean

_FORM = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)")


def _takes(spec: Spec) -> bool:
    return isinstance(spec, str) and _FORM.fullmatch(spec) is not None


def _read(spec: Spec, folder: Path) -> Mapping[str, object] | Split:
    module_name, name = cast("re.Match[str]", _FORM.fullmatch(str(spec))).groups()
    with _searched(folder):
        module = _module(module_name, folder, str(spec))
        function = getattr(module, name, None)
        if not callable(function):
            known = [word for word, thing in vars(module).items() if callable(thing) and not word.startswith("_")]
            raise UserError(f"'{module_name}' has no function '{name}'", hint=did_you_mean(name, known))
        with _user_errors(f"'{spec}'", module):
            returned = cast(Callable[[], object], function)()
    return _arrays(returned, str(spec))


def _arrays(returned: object, spec: str) -> Mapping[str, object] | Split:
    if isinstance(returned, Split):
        return returned
    if isinstance(returned, Mapping):
        arrays = {str(name): array for name, array in cast(Mapping[object, object], returned).items()}
        check_names(list(arrays), f"what '{spec}' returns")
        return arrays
    if isinstance(returned, tuple):
        parts = cast("tuple[object, ...]", returned)
        if len(parts) == 2:
            return {"x": parts[0], "y": parts[1]}
    kind = type(cast(object, returned)).__name__
    raise UserError(
        f"'{spec}' returns {kind}",
        allowed="it may return (x, y), a dict of arrays x, y, groups, weights, or an eennc Split",
    )


@contextmanager
def _searched(folder: Path) -> Generator[None]:
    """The folder's own modules come first while the user's code runs."""
    sys.path.insert(0, str(folder.resolve()))
    try:
        yield
    finally:
        sys.path.remove(str(folder.resolve()))


def _module(name: str, folder: Path, spec: str) -> ModuleType:
    path = folder.resolve() / f"{name.replace('.', '/')}.py"
    if not path.is_file():
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name.partition(".")[0] and error.name != name:
                raise UserError(f"'{spec}' needs the module '{error.name}', which is not installed") from None
            raise UserError(f"no module '{name}'", hint=f"it was looked for at {path}") from None
        except Exception as error:
            raise UserError(f"module '{name}' fails: {type(error).__name__}: {error}") from error
    # another folder's data.py must not be taken for this one
    unique = f"eennc_data_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if unique in sys.modules:
        return sys.modules[unique]
    found = importlib.util.spec_from_file_location(unique, path)
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    sys.modules[unique] = module
    try:
        with _user_errors(f"'{spec}'", module):
            found.loader.exec_module(module)
    except BaseException:
        del sys.modules[unique]
        raise
    return module


@contextmanager
def _user_errors(what: str, module: ModuleType) -> Generator[None]:
    """What the user's code raises, as a message with its line."""
    try:
        yield
    except UserError:
        raise
    except SyntaxError as error:
        place = Place(error.filename or str(module.__file__), error.lineno, error.offset)
        raise UserError(f"{what} is not valid Python: {error.msg}", place=place) from None
    except Exception as error:
        frames = [
            frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(module.__file__)
        ]
        place = Place(frames[-1].filename, frames[-1].lineno, excerpt=frames[-1].line) if frames else None
        raise UserError(f"{what} fails: {type(error).__name__}: {error}", place=place) from error


SOURCES.add("function", Source("a Python function as module:function", _takes, _read))
