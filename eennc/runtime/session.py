"""An artefact on this machine, through onnxruntime or LiteRT."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from eennc.artifact import Manifest, read_manifest, sha256_of
from eennc.ir.types import Array, FloatArray
from eennc.support.diagnostics import Place, UserError

CHUNK = 256
"""Samples that go through an artefact with a free batch at once: more would only take more memory."""


@dataclass(frozen=True)
class Prediction:
    """The answer to n samples. scores: [n, classes], what the model's own output means. exit: int64 [n], which exit
    answered; the number of exits stands for the last classifier.
    """

    scores: FloatArray
    exit: Array

    @property
    def classes(self) -> Array:
        """The class with the highest score, int64 [n]."""
        return self.scores.argmax(axis=1)


class Engine(Protocol):
    """What runs a file."""

    def run(self, x: Array) -> list[Array]:
        """The file's outputs for a batch of its input."""
        ...


class HostSession:
    """An artefact that is loaded; `load` makes one."""

    def __init__(self, folder: Path, manifest: Manifest, *, threads: int) -> None:
        self.folder = folder
        self.manifest = manifest
        self.threads = threads
        self._session = _engine(folder / manifest.model, threads)

    def predict(self, x: Array) -> Prediction:
        """Scores and exits of samples [n, ...] in the artefact's input dtype; n is free, whatever its batch.

        Raises UserError where shape or dtype do not fit.
        """
        check_input(x, self.manifest)
        parts = [(self._session.run(chunk), taken) for chunk, taken in self._chunks(x)]
        scores = np.concatenate([found[0][:taken] for found, taken in parts])
        return Prediction(scores, np.concatenate([found[1][:taken] for found, taken in parts]).astype(np.int64))

    def base_scores(self, x: Array) -> FloatArray:
        """Scores [n, classes] of the base network; raises UserError where the artefact has none."""
        check_input(x, self.manifest)
        base = self.base()
        return np.concatenate([base.run(chunk)[0][:taken] for chunk, taken in self._chunks(x)])

    def _chunks(self, x: Array) -> Generator[tuple[Array, int]]:
        """The samples in runs of the artefact's batch, and how many of each count: the last may be filled up."""
        batch = self.manifest.batch
        size = batch or CHUNK
        for start in range(0, len(x), size):
            chunk = x[start : start + size]
            taken = len(chunk)
            if batch is not None and taken < batch:
                chunk = np.concatenate([chunk, np.repeat(chunk[-1:], batch - taken, axis=0)])
            yield np.ascontiguousarray(chunk), taken

    def run_one(self, x: Array) -> tuple[FloatArray, int]:
        """Scores [1, classes] and exit of one sample [1, ...], with nothing checked: what is timed."""
        scores, exit = self._session.run(x)
        return scores, int(exit[0])

    def base(self) -> Engine:
        """The base network; raises UserError where the artefact has none."""
        if self.manifest.base is None:
            raise UserError(f"the artefact in '{self.folder}' holds no base network to compare with")
        return _engine(self.folder / self.manifest.base, self.threads)


def _engine(path: Path, threads: int) -> Engine:
    if path.suffix == ".tflite":
        from eennc.interop.tflite.session import LiteSession  # LiteRT is slow to import

        return LiteSession(path, threads=threads)
    from eennc.interop.onnx.session import Session

    return Session(path, threads=threads)


def check_input(x: Array, manifest: Manifest) -> None:
    """Raise UserError where `x` is not a batch of the artefact's input."""
    spec = manifest.input
    wanted = ["n", *spec.shape[1:]]
    if x.ndim != len(spec.shape) or list(x.shape[1:]) != list(spec.shape[1:]):
        raise UserError(f"the artefact takes samples of shape {wanted}, not {list(x.shape)}")
    if x.dtype.name != spec.dtype:
        raise UserError(
            f"the artefact takes {spec.dtype}, not {x.dtype}", hint=f"convert with x.astype('{spec.dtype}')"
        )
    if not len(x):
        raise UserError("there is no sample to run")


def load(folder: str | Path, *, threads: int = 1) -> HostSession:
    """Load an artefact from its folder. `threads`: the runtime's, 0 for its own choice.

    Raises UserError where the folder holds none, a file is missing or not the one that was written, or the artefact
    does not run here.
    """
    folder = Path(folder)
    manifest = checked_manifest(folder)
    if not manifest.model.endswith((".onnx", ".tflite")):
        raise UserError(
            f"an artefact of the {manifest.backend} backend does not run here",
            hint="C code runs on an emulated core: eennc run FOLDER --on qemu" if manifest.c else None,
        )
    return HostSession(folder, manifest, threads=threads)


def checked_manifest(folder: Path) -> Manifest:
    """The manifest of an artefact whose files are all there; raises UserError where one is missing or another."""
    manifest = read_manifest(folder)
    for name, digest in manifest.files.items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise UserError("a file of the artefact is missing", place=Place(str(path)), hint="compile again")
        if sha256_of(path) != digest:
            raise UserError("the file is not the one that was written", place=Place(str(path)), hint="compile again")
    return manifest
