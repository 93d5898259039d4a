"""An artefact on this machine, through onnxruntime or LiteRT."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from eennc.artifact import Manifest, read_manifest, sha256_of
from eennc.ir.rules import NO_CLASS
from eennc.ir.types import Array, FloatArray
from eennc.support.diagnostics import Place, UserError, unknown

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

    def run(self, x: Any) -> list[Array]:
        """The file's outputs for a batch of its input: an array, or arrays by name where it has several inputs."""
        ...


class HostSession:
    """An artefact that is loaded; `load` makes one."""

    def __init__(self, folder: Path, manifest: Manifest, *, threads: int) -> None:
        self.folder = folder
        self.manifest = manifest
        self.threads = threads
        self._session = _engine(folder / manifest.model, threads)
        self._counts: dict[str, Array] = {}
        self._last = NO_CLASS

    @property
    def points(self) -> tuple[str, ...]:
        """Names of the operating points that the artefact holds; the first is in force where none is asked for."""
        return tuple(point.name for point in self.manifest.points)

    def predict(self, x: Array, *, point: str | None = None) -> Prediction:
        """Scores and exits of samples [n, ...] in the artefact's input dtype; n is free, whatever its batch.

        point: the operating point by name, None for the default. Where exits decide by temporal-patience the samples
        are a sequence, which goes on from call to call until `reset`. Raises UserError where shape or dtype do not fit,
        and for an unknown point.
        """
        check_input(x, self.manifest)
        more = self._more(point)
        parts: list[tuple[list[Array], int]] = []
        for chunk, taken in self._chunks(x):
            parts.append((self._session.run(self._given(chunk, more, self._last)), taken))
            if self.streams:
                self._last = int(parts[-1][0][0][0].argmax())
        scores = np.concatenate([found[0][:taken] for found, taken in parts])
        exit = np.concatenate([found[1][:taken] for found, taken in parts]).astype(np.int64)
        self._count(exit, point)
        return Prediction(scores, exit)

    @property
    def streams(self) -> bool:
        """Whether exits look at the class that was answered to the sample before."""
        return self.manifest.state_input is not None

    def reset(self) -> None:
        """Forget the class that was answered last: a new sequence begins."""
        self._last = NO_CLASS

    def counts(self) -> dict[str, tuple[int, ...]]:
        """How many samples of `predict` each exit answered, and at the end the last classifier, by operating point,
        since the session was loaded or the last reset: what `eennc check` compares with calibration.
        """
        return {name: tuple(int(n) for n in counts) for name, counts in self._counts.items()}

    def reset_counts(self) -> None:
        """Count from 0."""
        self._counts = {}

    def _count(self, exit: Array, point: str | None) -> None:
        counts = np.bincount(exit, minlength=len(self.manifest.exits) + 1)
        name = point or next(iter(self.points), "")
        self._counts[name] = self._counts.get(name, np.zeros_like(counts)) + counts

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

    def one_by_one(self, point: str | None = None) -> Callable[[Array, int], tuple[FloatArray, int]]:
        """What runs one sample [1, ...], with the class that was answered to the one before, to its scores [1, classes]
        and exit, with nothing checked: what is timed.

        Raises UserError for an unknown point.
        """
        more = self._more(point)

        def run_one(x: Array, last: int) -> tuple[FloatArray, int]:
            scores, exit = self._session.run(self._given(x, more, last))
            return scores, int(exit[0])

        return run_one

    def _given(self, x: Array, more: Mapping[str, Array], last: int) -> Array | dict[str, Array]:
        state = self.manifest.state_input
        if state is not None:
            more = {**more, state: np.array(last, np.int64)}
        return {self.manifest.input.name: x, **more} if more else x

    def _more(self, point: str | None) -> dict[str, Array]:
        """What the model is given besides the samples."""
        if point is None:
            return {}
        number = point_number(point, self.points)
        name = self.manifest.point_input
        return {} if name is None else {name: np.array(number, np.int64)}

    def base(self) -> Engine:
        """The base network; raises UserError where the artefact has none."""
        if self.manifest.base is None:
            raise UserError(f"the artefact in '{self.folder}' holds no base network to compare with")
        return _engine(self.folder / self.manifest.base, self.threads)


def point_number(point: str, points: Sequence[str]) -> int:
    """The number of an operating point; raises UserError for an unknown one."""
    if point not in points:
        raise unknown("operating point", point, points)
    return list(points).index(point)


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
