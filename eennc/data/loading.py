"""Makes checked splits of what the user gives: the right shape and dtype, finite, labels of the model's classes."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from eennc.data.sources import Spec, read_source
from eennc.data.splits import Split, Splits
from eennc.ir.types import TensorType
from eennc.support.diagnostics import Place, UserError
from eennc.support.instruments import Progress

_CHUNK = 1 << 24
"""Elements looked at in one go: a split may be larger than memory."""


def load_split(name: str, spec: Spec, folder: Path, place: Place | None = None) -> Split:
    """The split that `spec` names, with its arrays in the types that Split documents.

    Raises UserError (at `place` where it has no better one) for what cannot be read, or is not arrays of one length.
    """
    try:
        with _about(name):
            read = read_source(spec, folder)
        return renamed(read, name) if isinstance(read, Split) else split_of(name, read)
    except UserError as error:
        if place is not None:
            error.at(place)
        raise


@contextmanager
def _about(name: str) -> Generator[None]:
    """Messages without a place say which split they are about."""
    try:
        yield
    except UserError as error:
        if error.place is None:
            error.message = f"{name} data: {error.message}"
        raise


def split_of(name: str, arrays: Mapping[str, object]) -> Split:
    """A split of the arrays `x` and, where given and not None, `y`, `groups` and `weights`; raises UserError."""
    with _about(name):
        return _split(name, arrays)


def _split(name: str, arrays: Mapping[str, object]) -> Split:
    x = _array(arrays["x"], "x")
    if x.ndim < 2:
        raise UserError(f"'x' has shape {list(x.shape)}: the first axis must be the samples, the rest a sample")
    n = len(x)
    given = {key: _array(value, key) for key, value in arrays.items() if key != "x" and value is not None}
    if n == 0:
        raise UserError("it is empty")
    for key, array in given.items():
        if len(array.shape) == 0 or len(array) != n:
            raise UserError(f"'x' has {n} samples and '{key}' {len(array) if array.ndim else 'is a single number'}")
    y, groups, weights = (given.get(key) for key in ("y", "groups", "weights"))
    return Split(
        name,
        x,
        None if y is None else _labels(y),
        None if groups is None else _groups(groups),
        None if weights is None else _weights(weights),
    )


def check_split(split: Split, type: TensorType, classes: int | None) -> None:
    """Raise UserError where the samples are not what a model with input `type` takes, are not finite, or a class number
    is none of the model's `classes` (None where they are not known yet).
    """
    what = f"{split.name} data"
    wanted = ["n", *type.shape[1:]]
    x = split.x
    known = [size == dim for size, dim in zip(x.shape[1:], type.shape[1:], strict=False) if isinstance(dim, int)]
    if x.ndim != type.rank or not all(known):
        raise UserError(
            f"{what}: 'x' has shape {list(x.shape)}, the model takes {wanted}", hint=_shape_hint(x.shape, type)
        )
    if x.dtype != type.dtype.numpy:
        raise UserError(
            f"{what}: 'x' is {x.dtype}, the model takes {type.dtype.numpy}",
            hint=f"say what the data are below `input:` in passes.yaml, `dtype: {x.dtype}`, or convert them",
        )
    sample = first_not_finite(x)
    if sample is not None:
        raise UserError(f"{what}: sample {sample} holds NaN or infinity", hint="remove or repair such samples")
    if split.y is None or classes is None:
        return
    wrong = (split.y < 0) | (split.y >= classes)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise UserError(
            f"{what}: sample {at} has label {int(split.y[at])}, the model has {classes} classes",
            allowed=f"labels: 0 to {classes - 1}",
        )


def first_not_finite(x: NDArray[Any]) -> int | None:
    """The first sample that holds NaN or infinity, or None."""
    if x.dtype.kind != "f":
        return None
    step = max(1, _CHUNK // max(1, int(np.prod(x.shape[1:], dtype=np.int64))))
    for start in range(0, len(x), step):
        finite = np.isfinite(x[start : start + step]).reshape(min(step, len(x) - start), -1).all(axis=1)
        if not finite.all():
            return start + int(np.argmin(finite))
    return None


def warn_of_shared_samples(splits: Splits, progress: Progress) -> None:
    """Warn where samples of one split stand in another too: figures on them would flatter."""
    given = [split for split in (splits.train, splits.calibration, splits.test) if split is not None]
    hashes = [_row_hashes(split.x) for split in given]
    for i, first in enumerate(given):
        for j in range(i + 1, len(given)):
            shared = int(np.isin(hashes[j], hashes[i]).sum())
            if shared:
                progress.warn(
                    f"{shared} of {len(given[j])} samples of the {given[j].name} split are in the {first.name} split "
                    "too: accuracies on them mean little"
                )


def _row_hashes(x: NDArray[Any]) -> NDArray[np.uint64]:
    digests = b"".join(hashlib.blake2b(np.ascontiguousarray(row).data, digest_size=8).digest() for row in x)
    return np.frombuffer(digests, np.uint64)


def renamed(split: Split, name: str) -> Split:
    """The split under the name of its role, its arrays checked and converted as in `split_of`."""
    arrays = {"x": split.x, "y": split.y, "groups": split.groups, "weights": split.weights}
    return split_of(name, arrays)


def _array(value: object, name: str) -> NDArray[Any]:
    if not isinstance(value, np.ndarray):
        try:
            value = np.asarray(value)
        except ValueError as error:
            raise UserError(f"'{name}' is no array: {error}") from None
    array = cast("NDArray[Any]", value)
    if array.dtype.kind not in "biufUS":
        raise UserError(f"'{name}' holds {array.dtype}, not numbers")
    return array


def _labels(y: NDArray[Any]) -> NDArray[np.int64]:
    if y.ndim != 1:
        hint = "one class number per sample; of one-hot labels take y.argmax(axis=1)" if y.ndim == 2 else None
        raise UserError(f"'y' has shape {list(y.shape)}, not [n]", hint=hint)
    if y.dtype.kind not in "iu":
        raise UserError(f"'y' is {y.dtype}: labels must be class numbers of an integer dtype")
    if y.dtype.kind == "u" and len(y) and int(y.max()) > np.iinfo(np.int64).max:
        raise UserError(f"'y' holds {int(y.max())}, which is no class number")
    return y.astype(np.int64)


def _groups(groups: NDArray[Any]) -> NDArray[np.int64]:
    if groups.ndim != 1 or groups.dtype.kind not in "iuUS":
        raise UserError(f"'groups' is {groups.dtype} {list(groups.shape)}: it must be one number or name per sample")
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def _weights(weights: NDArray[Any]) -> NDArray[np.float64]:
    if weights.ndim != 1 or weights.dtype.kind not in "iuf":
        raise UserError(f"'weights' is {weights.dtype} {list(weights.shape)}: it must be one number per sample")
    found = weights.astype(np.float64)
    if not np.isfinite(found).all() or (found < 0).any() or found.sum() <= 0:
        raise UserError("'weights' must be finite, at least 0, and not all 0")
    return found


def _shape_hint(shape: tuple[int, ...], type: TensorType) -> str | None:
    rank = type.rank
    if len(shape) == rank and rank in (3, 4) and [shape[-1], *shape[1:-1]] == list(type.shape[1:]):
        return f"the channels are last: say `layout: {'nhwc' if rank == 4 else 'nwc'}` below `input:` in passes.yaml"
    if len(shape) == rank - 1 and type.shape[1] == 1 and list(shape[1:]) == list(type.shape[2:]):
        return f"there is no channel axis: say `layout: {'nhw' if rank == 4 else 'nw'}` below `input:` in passes.yaml"
    return None
