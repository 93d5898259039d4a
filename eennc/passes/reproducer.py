"""What a pass that fails leaves behind, so that the failure can be run again."""

from __future__ import annotations

import platform
import shlex
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from eennc.ir.graph import Module
from eennc.ir.text import save_module
from eennc.passes.base import Pass
from eennc.support.atomic import atomic_folder
from eennc.support.options import to_inline


class PassFailed(Exception):  # noqa: N818
    """A pass failed by its own fault, an internal error. `reproducer` is the folder written, or None."""

    def __init__(self, message: str, reproducer: Path | None) -> None:
        super().__init__(message)
        self.message = message
        self.reproducer = reproducer

    def __str__(self) -> str:
        return f"{self.message}\n  reproducer: {self.reproducer}" if self.reproducer else self.message


def write_reproducer(module: Module, rest: Sequence[Pass], seed: int, error: Exception, folder: Path) -> Path:
    """Write a new folder `reproducer-<pass>` below `folder`; returns it.

    `module.eir` (with its weights) is the module before the failing pass, `pipeline.txt` that pass and the rest as
    inline text, `command.txt` how to run it again, `error.txt` the traceback. Raises OSError.
    """
    name = f"reproducer-{safe_name(rest[0].name)}"
    path = folder / name
    number = 1
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}"
    path = path.absolute()
    with atomic_folder(path) as temporary:
        save_module(module, temporary / "module.eir")
        (temporary / "pipeline.txt").write_text(",".join(map(to_inline, rest)) + "\n", encoding="utf-8")
        (temporary / "command.txt").write_text(_command(path, seed), encoding="utf-8")
        text = "".join(traceback.format_exception(error))
        (temporary / "error.txt").write_text(text, encoding="utf-8")
    return path


def safe_name(name: str) -> str:
    """A pass's name as a part of a file name."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)[:80] or "_"


def _command(folder: Path, seed: int) -> str:
    return "\n".join(
        [
            f"cd {shlex.quote(str(folder))}",
            f'eennc module.eir -p "$(cat pipeline.txt)" --seed {seed}',
            f"# it failed in: {shlex.join(sys.argv)}",
            f"# eennc {_version()}, Python {platform.python_version()}, {platform.platform()}",
            "",
        ]
    )


def _version() -> str:
    try:
        return metadata.version("eennc")
    except metadata.PackageNotFoundError:
        return "(not installed)"
