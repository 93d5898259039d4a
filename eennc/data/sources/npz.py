"""One `.npz` file with the arrays of a split."""

from __future__ import annotations

from pathlib import Path
from zipfile import is_zipfile

import numpy as np

from eennc.data.files import array_file
from eennc.data.sources import SOURCES, Source, Spec, check_names


def _takes(spec: Spec) -> bool:
    return isinstance(spec, str) and spec.endswith(".npz")


def _read(spec: Spec, folder: Path) -> dict[str, object]:
    with array_file(str(spec), folder) as path:
        # numpy would take a single array here too
        if not is_zipfile(path):
            raise ValueError("it is not a .npz file")
        with np.load(path, allow_pickle=False) as stored:
            check_names(list(stored.files), f"'{spec}'")
            return {name: stored[name] for name in stored.files}


SOURCES.add("npz", Source("a file .npz with arrays x, y, groups, weights", _takes, _read))
