"""Opens files of arrays; whatever is wrong with one is a message to the user."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from eennc.support.diagnostics import UserError


@contextmanager
def array_file(spec: str, folder: Path) -> Generator[Path]:
    """The path that `spec` names, seen from `folder`; what goes wrong in the block becomes a UserError."""
    try:
        path = folder / Path(spec).expanduser()
    except RuntimeError:
        raise UserError(f"no such file: '{spec}'", hint="there is no user of that name") from None
    if path.is_dir():
        raise UserError(f"'{spec}' is a folder")
    if not path.is_file():
        raise UserError(f"no such file: '{spec}'", hint=f"it was looked for at {path.resolve()}")
    try:
        yield path
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        reason = str(error).strip("'\" ") or type(error).__name__
        if any(word in reason.lower() for word in ("pickle", "python objects")):
            raise UserError(
                f"'{spec}' holds Python objects (or no arrays at all), which are not read",
                hint="save arrays of numbers with numpy.savez or numpy.save",
            ) from None
        raise UserError(f"'{spec}' cannot be read: {reason}", hint="is the file complete?") from None
    except OSError as error:
        raise UserError(f"'{spec}' cannot be read: {error.strerror or error}") from None
