"""Files and folders that are there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_file(path: Path) -> Generator[Path]:
    """A temporary path beside `path` to write to; renamed onto `path` when the block ends well, removed otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Generator[Path]:
    """A temporary folder beside `path` to fill; it takes the place of `path` when the block ends well.

    Whatever goes wrong before (an exception, Ctrl-C, a full disk), the old folder stays as it was.
    """
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    old = temporary.with_name(temporary.name + ".old")
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            path.rename(old)
        temporary.rename(path)
    finally:
        # wherever it was interrupted: the new folder, or else the old one
        if old.exists() and not path.exists():
            old.rename(path)
        for left in (temporary, old):
            if left.exists():
                shutil.rmtree(left, ignore_errors=True)
