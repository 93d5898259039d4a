"""Results kept by the hash of what they were computed from."""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eennc.support.atomic import atomic_file

Arrays = dict[str, NDArray[Any]]


def key_of(*parts: object) -> str:
    """The key for a computation: SHA-256 over the JSON form of everything that decides its result."""
    text = json.dumps(parts, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class Cache:
    """A folder of results. An entry is written whole or not at all, so a killed run leaves nothing half-done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def temporary(cls) -> Cache:
        """A cache that goes with the process."""
        holder = tempfile.TemporaryDirectory(prefix="eennc-")
        cache = cls(Path(holder.name))
        cache._holder = holder  # type: ignore[attr-defined]  # keeps the folder alive
        return cache

    def path(self, kind: str, key: str, ending: str) -> Path:
        """Where an entry lies."""
        return self.folder / kind / f"{key}{ending}"

    def arrays(self, kind: str, key: str, compute: Callable[[], Mapping[str, NDArray[Any]]]) -> Arrays:
        """The named arrays stored under `key`, computed and stored where they are not there or damaged."""
        path = self.path(kind, key, ".npz")
        if path.exists():
            try:
                with np.load(path, allow_pickle=False) as stored:
                    return {name: stored[name] for name in stored.files}
            except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
                path.unlink(missing_ok=True)
        computed = dict(compute())
        with atomic_file(path) as temporary, temporary.open("wb") as out:
            np.savez(out, **computed)  # type: ignore[arg-type]  # numpy's stub takes allow_pickle among the names
        return computed

    def has(self, kind: str, key: str, ending: str = ".npz") -> bool:
        """Whether an entry is there."""
        return self.path(kind, key, ending).exists()
