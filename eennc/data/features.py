"""The feature cache: what every head sees of every sample, extracted in one pass and kept on disk."""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import shutil
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from eennc.data.cache import Cache
from eennc.support.atomic import atomic_file
from eennc.support.diagnostics import UserError
from eennc.support.instruments import Progress, task

Rows = NDArray[Any]
Compute = Callable[[int, int], Sequence[Rows]]
"""Rows [start, stop) of every column, each [stop - start, width]; the same answer whenever it is asked."""

KIND = "features"
CHUNK = 512
"""Samples per chunk. Fixed: the batches that the extractor sees decide the last bits."""
CACHE_LIMIT = 4_000_000_000
"""Bytes that the features of a training split may take on disk."""


@dataclass(frozen=True)
class Column:
    """One stored array: [samples, width] of `dtype`."""

    name: str
    width: int
    dtype: Literal["float16", "float32"] = "float16"

    @property
    def row_bytes(self) -> int:
        """Bytes of one sample."""
        return self.width * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Features:
    """A finished extraction."""

    folder: Path

    @cached_property
    def _facts(self) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads((self.folder / "facts.json").read_text()))

    @property
    def samples(self) -> int:
        """Number of samples."""
        return int(self._facts["samples"])

    def digest(self, name: str) -> str:
        """SHA-256 of a column's content, hexadecimal."""
        return str(self._facts["digests"][name])

    def array(self, name: str) -> Rows:
        """A column, [samples, width], memory-mapped; writing to it changes memory only."""
        return cast(Rows, np.load(self.folder / f"{name}.npy", mmap_mode="c", allow_pickle=False))


def largest_grid(
    maps: Sequence[Sequence[int]], samples: int, limit: int, *, poolings: int = 2, largest: int = 4
) -> int:
    """The finest grid, at most `largest` cells per spatial axis, whose float16 features fit into `limit` bytes.

    maps: (channels, *spatial sizes) of each candidate; an axis is never cut into more cells than it has entries.
    poolings: how many numbers are kept per cell and channel (2 for average and maximum). At least 1, also where
    even that does not fit.
    """
    for grid in range(largest, 1, -1):
        width = sum(poolings * channels * math.prod(min(grid, size) for size in sizes) for channels, *sizes in maps)
        if 2 * width * samples <= limit:
            return grid
    return 1


def gather(
    cache: Cache, key: str, samples: int, columns: Sequence[Column], compute: Compute, progress: Progress, label: str
) -> Features:
    """The features stored under `key`, extracted chunk by chunk where they are not all there.

    `key` must name everything that decides the content. A killed run is taken up at the first chunk whose checksum is
    not in the journal; the finished files have the bytes of an undisturbed run. A second process that asks for the
    same key waits for the first. Raises UserError where a feature is not finite or does not fit into the column's
    dtype.
    """
    folder = cache.folder / KIND / key
    if _whole(folder, samples, columns):
        progress.note(f"{label}: {samples} samples from the cache")
        return Features(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.with_name(f"{key}.lock")):
        if not _whole(folder, samples, columns):
            _extract(folder, samples, columns, compute, progress, label)
    return Features(folder)


def _whole(folder: Path, samples: int, columns: Sequence[Column]) -> bool:
    try:
        return (folder / "facts.json").exists() and all(
            (folder / f"{column.name}.npy").stat().st_size == len(_header(samples, column)) + samples * column.row_bytes
            for column in columns
        )
    except OSError:
        return False


@contextmanager
def _alone(path: Path) -> Generator[None]:
    # the kernel drops the lock when its holder dies, however it dies
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _header(samples: int, column: Column) -> bytes:
    """The .npy header, padded by numpy to a multiple of 64 bytes."""

    class Sink(bytearray):
        def write(self, data: bytes) -> None:
            self.extend(data)

    sink = Sink()
    shape = {"descr": np.dtype(column.dtype).str, "fortran_order": False, "shape": (samples, column.width)}
    np.lib.format.write_array_header_1_0(cast(Any, sink), shape)
    return bytes(sink)


def _extract(
    folder: Path, samples: int, columns: Sequence[Column], compute: Compute, progress: Progress, label: str
) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir(exist_ok=True)
    files = [_opened(partial / f"{column.name}.npy") for column in columns]
    journal = _opened(partial / "journal")
    try:
        done = _resume(samples, columns, files, journal)
        if done:
            progress.note(f"{label}: {min(done * CHUNK, samples)} of {samples} samples are there from an earlier run")
        with task(progress, label, samples) as number:
            progress.advance(number, min(done * CHUNK, samples))
            for start in range(done * CHUNK, samples, CHUNK):
                stop = min(start + CHUNK, samples)
                check = 0
                for column, file, rows in zip(columns, files, compute(start, stop), strict=True):
                    content = _stored(column, rows, start, stop)
                    check = zlib.crc32(content, check)
                    file.write(content)
                    file.flush()
                journal.write(f"{check:08x}\n".encode())
                journal.flush()
                progress.advance(number, stop - start)
        for file in files:
            os.fsync(file.fileno())
        digests = {column.name: _digest(file) for column, file in zip(columns, files, strict=True)}
    finally:
        for file in (*files, journal):
            file.close()
    with atomic_file(partial / "facts.json") as facts:
        facts.write_text(json.dumps({"samples": samples, "digests": digests}, sort_keys=True))
    partial.rename(folder)


def _opened(path: Path) -> IO[bytes]:
    path.touch()
    return path.open("r+b")


def _resume(samples: int, columns: Sequence[Column], files: Sequence[IO[bytes]], journal: IO[bytes]) -> int:
    """Cut files and journal back to the chunks that are whole; returns how many."""
    headers = [_header(samples, column) for column in columns]
    done = 0
    whole = all(file.read(len(header)) == header for file, header in zip(files, headers, strict=True))
    for line in _lines(journal) if whole else ():
        rows = min(CHUNK, samples - done * CHUNK)
        check = 0
        for column, file in zip(columns, files, strict=True):
            check = zlib.crc32(file.read(rows * column.row_bytes), check)
        if line != f"{check:08x}\n".encode():
            break
        done += 1
    rows = min(done * CHUNK, samples)
    for column, file, header in zip(columns, files, headers, strict=True):
        if not whole:
            file.seek(0)
            file.write(header)
        file.seek(len(header) + rows * column.row_bytes)
        file.truncate()
    journal.seek(9 * done)
    journal.truncate()
    return done


def _lines(journal: IO[bytes]) -> Iterator[bytes]:
    while len(line := journal.read(9)) == 9:
        yield line


def _stored(column: Column, rows: Rows, start: int, stop: int) -> bytes:
    if rows.shape != (stop - start, column.width):
        raise ValueError(f"column '{column.name}' got {rows.shape} for samples {start} to {stop}")
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        sample = start + int(np.argmin(finite))
        raise UserError(
            f"the model computes NaN or infinity for sample {sample} of the training data (in '{column.name}')",
            hint="look for such values in the sample, or for overflow in the model",
        )
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(rows, column.dtype)
    if not np.isfinite(stored).all():
        raise UserError(
            f"features of '{column.name}' reach {np.abs(rows).max():.3g}, more than {column.dtype} can hold",
            hint="set train-exits{precision=float32}",
        )
    return stored.tobytes()


def _digest(file: IO[bytes]) -> str:
    file.seek(0)
    return hashlib.file_digest(cast(Any, file), "sha256").hexdigest()
