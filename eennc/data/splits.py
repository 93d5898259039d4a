"""The three splits of a data set, never mixed: heads train on train, thresholds on calibration, figures on test."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eennc.support.diagnostics import UserError


@dataclass(frozen=True)
class Split:
    """One split.

    x: samples, [n, ...] in the artefact's input type. y: class numbers int64 [n], or None (train only).
    groups: int64 [n] (speaker, patient), weights: float64 [n] >= 0; each or None.
    """

    name: str
    x: NDArray[Any]
    y: NDArray[np.int64] | None = None
    groups: NDArray[np.int64] | None = None
    weights: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return int(self.x.shape[0])

    @property
    def labels(self) -> NDArray[np.int64]:
        """y; raises UserError where there is none."""
        if self.y is None:
            raise UserError(f"the {self.name} split has no labels", hint="add an array 'y' of class numbers")
        return self.y

    @property
    def starts(self) -> NDArray[np.bool_]:
        """Where a sequence begins, bool [n]: at the first sample, and wherever the group is another than before."""
        starts = np.zeros(len(self), bool)
        starts[:1] = True
        if self.groups is not None:
            starts[1:] = self.groups[1:] != self.groups[:-1]
        return starts

    @property
    def sequences(self) -> int | None:
        """How many sequences there are, None without groups."""
        return None if self.groups is None else int(self.starts.sum())

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all arrays, hexadecimal; the name is left out."""
        digest = hashlib.sha256()
        for part in fields(self)[1:]:
            array = getattr(self, part.name)
            if array is not None:
                array = np.ascontiguousarray(array)
                digest.update(f"{part.name} {array.dtype} {array.shape}\n".encode())
                digest.update(array.reshape(-1).view(np.uint8).data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Splits:
    """Train, calibration and test; each may be missing until a pass asks for it."""

    train: Split | None = None
    calibration: Split | None = None
    test: Split | None = None

    def need(self, name: str, why: str) -> Split:
        """The split called `name`; raises UserError where it is missing, naming `why` it is needed."""
        split: Split | None = getattr(self, name)
        if split is None:
            raise UserError(
                f"no {name} data, which {why} needs",
                hint=f"give it in passes.yaml under 'data: {{{name}: file.npz}}', or with --{name} file.npz",
            )
        return split
