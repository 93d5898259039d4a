"""`.eir` files: the text form, and the weights' contents in a `.npz` beside it."""

from __future__ import annotations

import json
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import cast

import numpy as np

from eennc.ir.graph import Module
from eennc.ir.parser import parse_module
from eennc.ir.printer import is_inline, print_module
from eennc.ir.types import Array
from eennc.support.atomic import atomic_file
from eennc.support.diagnostics import Place, UserError

_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, SyntaxError, tokenize.TokenError, RuntimeError, TypeError)
"""What zipfile and numpy raise over a damaged archive."""


def weights_path(path: Path) -> Path:
    """Where the weights of `path` lie."""
    return path.with_suffix(".weights.npz")


def save_module(module: Module, path: Path) -> None:
    """Write `path` (`.eir`) and its weights beside it, each whole or not at all."""
    arrays = [weight.array for weight in module.weights() if not is_inline(weight)]
    names = [weight.name for weight in module.weights() if not is_inline(weight)]
    with atomic_file(weights_path(path)) as beside, beside.open("wb") as out:
        # numpy's own names for positional arrays, and JSON for the true ones: a weight's name may hold anything, and
        # numpy's texts lose a NUL at their end
        np.savez(out, np.frombuffer(json.dumps(names).encode("ascii"), np.uint8), *arrays)
    with atomic_file(path) as text:
        text.write_text(print_module(module, origins=True), encoding="utf-8")


def load_module(path: Path) -> Module:
    """Read what `save_module` wrote; raises UserError with a place."""
    beside = weights_path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"not a module of eennc: {error}", place=Place(str(path))) from None
    except OSError as error:
        raise _unreadable(error, path) from None
    return parse_module(text, _load_weights(beside), file=str(path))


def _load_weights(path: Path) -> dict[str, Array]:
    try:
        stored = np.load(path, allow_pickle=False)
        if not isinstance(stored, np.lib.npyio.NpzFile):
            raise UserError("not the weights of a module: one array, not an archive", place=Place(str(path)))
        with stored:
            names: object = json.loads(cast(Array, stored["arr_0"]).tobytes())
            if not isinstance(names, list):
                raise ValueError("no list of names")
            return {str(name): stored[f"arr_{i}"] for i, name in enumerate(cast("list[object]", names), 1)}
    except OSError as error:
        raise _unreadable(error, path) from None
    except (ValueError, KeyError, EOFError, MemoryError, NotImplementedError, *_DAMAGE) as error:
        raise UserError(f"the weights of a module are damaged: {error}", place=Place(str(path))) from None


def _unreadable(error: OSError, path: Path) -> UserError:
    message = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror or error}"
    return UserError(message, place=Place(str(error.filename or path)))
