"""One `.npy` file per array. They stay on disk and are read where they are needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from eennc.data.files import array_file
from eennc.data.sources import SOURCES, Source, Spec, check_names
from eennc.support.diagnostics import UserError


def _takes(spec: Spec) -> bool:
    return isinstance(spec, Mapping)


def _read(spec: Spec, folder: Path) -> dict[str, object]:
    assert isinstance(spec, Mapping)
    check_names(list(spec), "the mapping")
    found: dict[str, object] = {}
    for name, file in spec.items():
        if not isinstance(file, str) or not file.endswith(".npy"):
            raise UserError(f"array '{name}' must be a file .npy, not {file!r}")
        with array_file(file, folder) as path:
            with path.open("rb") as content:
                if content.read(6) != b"\x93NUMPY":
                    raise ValueError("it is not a .npy file")
            found[name] = np.load(path, mmap_mode="r", allow_pickle=False)
    return found


SOURCES.add("npy", Source("a mapping of arrays to files, {x: a.npy, y: b.npy}", _takes, _read))
