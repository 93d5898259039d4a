"""What is said when eennc itself fails."""

from __future__ import annotations

import platform
import shlex
import sys
import traceback
from pathlib import Path

from eennc.support.diagnostics import UserError


def report_crash(error: Exception) -> str:
    """The message for an internal error; where no reproducer was written, the traceback goes into a new file here."""
    from eennc.passes.reproducer import PassFailed

    if isinstance(error, PassFailed) and error.reproducer is not None:
        return f"internal error: {error}\n  hint: please report it, with that folder"
    text = "".join(traceback.format_exception(error))
    lines = [
        f"# eennc failed in: {shlex.join(sys.argv)}",
        f"# Python {platform.python_version()}, {platform.platform()}",
    ]
    try:
        path = _write("\n".join([*lines, text]))
    except (OSError, UserError):
        return f"internal error: {text}"
    reason = f"{type(error).__name__}: {error}"
    return f"internal error: {reason}\n  reproducer: {path}\n  hint: please report it, with that file"


def _write(text: str) -> Path:
    number = 0
    while True:
        number += 1
        path = Path(f"reproducer-crash{'' if number == 1 else f'-{number}'}.txt").absolute()
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            continue
        return path
