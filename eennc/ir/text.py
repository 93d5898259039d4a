"""`.eir` files: the text form, and the weights' contents in a `.npz` beside it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from eennc.ir.graph import Module
from eennc.ir.parser import parse_module
from eennc.ir.printer import is_inline, print_module
from eennc.ir.types import Array
from eennc.support.atomic import atomic_file
from eennc.support.diagnostics import Place, UserError


def weights_path(path: Path) -> Path:
    """Where the weights of `path` lie."""
    return path.with_suffix(".weights.npz")


def save_module(module: Module, path: Path) -> None:
    """Write `path` (`.eir`) and its weights beside it, each whole or not at all."""
    arrays = [weight.array for weight in module.weights() if not is_inline(weight)]
    names = [weight.name for weight in module.weights() if not is_inline(weight)]
    with atomic_file(weights_path(path)) as beside, beside.open("wb") as out:
        # numpy's own names for positional arrays: a weight's name may hold anything
        np.savez(out, np.array(names, dtype=np.str_), *arrays)
    with atomic_file(path) as text:
        text.write_text(print_module(module, origins=True), encoding="utf-8")


def load_module(path: Path) -> Module:
    """Read what `save_module` wrote; raises UserError with a place."""
    beside = weights_path(path)
    try:
        text = path.read_text(encoding="utf-8")
        with np.load(beside, allow_pickle=False) as stored:
            names = [str(name) for name in stored["arr_0"]]
            arrays: dict[str, Array] = {name: stored[f"arr_{i}"] for i, name in enumerate(names, 1)}
    except FileNotFoundError as error:
        raise UserError("no such file", place=Place(str(error.filename))) from None
    except (UnicodeDecodeError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"not a module of eennc: {error}", place=Place(str(path))) from None
    return parse_module(text, arrays, file=str(path))
