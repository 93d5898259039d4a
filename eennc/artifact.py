"""The artefact folder's contract: `manifest.json`, which the runtime reads, and `report.json`, which tells the result.

Both are JSON with sorted keys and shortest round-trip numbers, so that equal content is equal bytes. JSON has no
infinity: inf, -inf and nan are written as the strings "inf", "-inf" and "nan". Neither holds a time or a path of the
machine that wrote it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from eennc.support.atomic import atomic_file
from eennc.support.diagnostics import Place, UserError
from eennc.support.options import build

SCHEMA = 1
"""Version of both files. A newer one is refused."""
MANIFEST = "manifest.json"
REPORT, PAGE = "report.json", "report.html"
FLOAT_IR, INT8_IR = "float.eir", "int8.eir"
"""Of a quantised artefact: the network before it was quantised, and after. `eennc diff` compares them."""


@dataclass(frozen=True)
class TensorSpec:
    """What the artefact takes. dtype: numpy's name. shape: "N" is the batch."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class ExitSpec:
    """One early exit: its number, its place in the network, and when it answers. class_thresholds: what its score must
    reach besides, by class; empty where there are none.
    """

    exit: int
    place: str
    rule: str
    temperature: float
    threshold: float
    class_thresholds: tuple[float, ...] = ()


@dataclass(frozen=True)
class PointSpec:
    """An operating point: its name, and the threshold of every exit. calibration: how many calibration samples each
    exit answered, and at the end the last classifier; None where that is not known.
    """

    name: str
    thresholds: tuple[float, ...]
    calibration: tuple[int, ...] | None = None


@dataclass(frozen=True)
class CSpec:
    """What users of a folder of C code must know. prefix: of its symbols, in capitals of its macros. device: what it
    was planned for. arena_bytes, arena_bound: memory for tensors, and its lower bound. input_scale, input_zero_point:
    what integers that it takes stand for; a scale of None where they are taken as they are. points: its operating
    points. predicted, predicted_base: instructions of an inference that stops at each exit and at the last classifier,
    and of the base network; None where they are not predicted.
    """

    prefix: str
    device: str
    arena_bytes: int
    arena_bound: int
    input_dtype: str
    input_scale: float | None
    input_zero_point: int
    scores_dtype: str
    points: tuple[str, ...]
    predicted: tuple[float, ...] | None = None
    predicted_base: float | None = None


@dataclass(frozen=True)
class Manifest:
    """What stands in an artefact folder.

    model, base: file names of the early-exit network and of the plain network it was made from (None where the backend
    writes none). batch: the number of
    samples that a run takes, None for any. files: SHA-256 (hexadecimal) of the files that the backend wrote. c: of
    backends that write C. points: the operating points that the artefact holds; the first is its default. point_input:
    the model's input that takes a point's number, None where there is nothing to choose. state_input: the one that
    takes the class that was answered to the sample before, None where no exit looks at it. build: a digest of `files`,
    which says whose counts `eennc check` is given.
    Raises ValueError for a file name that leads out of the folder, and for points that do not fit the exits.
    """

    schema: int
    eennc: str
    name: str
    backend: str
    source_file: str
    source_sha256: str
    model: str
    base: str | None
    batch: int | None
    input: TensorSpec
    scores: Literal["logits", "probabilities"]
    classes: int
    labels: tuple[str, ...] | None
    exits: tuple[ExitSpec, ...]
    files: dict[str, str]
    c: CSpec | None = None
    points: tuple[PointSpec, ...] = ()
    point_input: str | None = None
    state_input: str | None = None
    build: str = ""

    def __post_init__(self) -> None:
        for name in (self.model, self.base, *self.files):
            if name is None:
                continue
            if not name or name in (".", "..") or "/" in name or "\\" in name or "\0" in name:
                raise ValueError(f"'{name}' is not the name of a file in the folder")
        exits = len(self.exits)
        if len({point.name for point in self.points}) < len(self.points):
            raise ValueError("points: two have one name")
        for point in self.points:
            counts = point.calibration
            if len(point.thresholds) != exits or (counts is not None and (len(counts) != exits + 1 or min(counts) < 0)):
                raise ValueError(f"points: '{point.name}' does not fit {exits} exits")


def write_manifest(manifest: Manifest, folder: Path) -> Path:
    """Write `manifest.json` into `folder`; returns its path."""
    return _write(dataclasses.asdict(manifest), folder / MANIFEST)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an artefact folder; raises UserError where there is none, or a newer or damaged one."""
    found = _read(folder, MANIFEST)
    path = str(folder / MANIFEST)
    for spec in (*_specs(found, "exits"), *_specs(found, "points")):
        for name in ("temperature", "threshold", "class_thresholds", "thresholds"):
            if name in spec:
                spec[name] = _number(spec[name])
    try:
        return build(Manifest, found, what="the manifest")
    except UserError as error:
        # the list of what a manifest may hold is of no use to someone who did not write it
        raise UserError(error.message, place=Place(path), hint="compile the model again") from None


def write_report(report: Mapping[str, object], folder: Path) -> Path:
    """Write `report.json` into `folder`, with the schema version; returns its path."""
    return _write({**report, "schema": SCHEMA}, folder / REPORT)


def read_report(folder: Path) -> dict[str, Any]:
    """What `write_report` wrote, non-finite numbers still as strings; raises UserError as `read_manifest` does."""
    return _read(folder, REPORT)


def check_replaceable(folder: Path) -> None:
    """Raise UserError where an artefact cannot go to `folder`: it is a file, or holds what eennc did not write."""
    place = Place(str(folder))
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError("this is a file, the artefact needs a folder", place=place, hint="give another name after -o")
    there = {path.name for path in folder.iterdir()}
    try:
        ours = {MANIFEST, REPORT, PAGE, *read_manifest(folder).files} if MANIFEST in there else set[str]()
    except UserError as error:
        raise UserError(
            f"the folder's {MANIFEST} cannot be read ({error.message}): what else is there would be lost",
            place=place,
            hint="remove the folder, or give another one after -o",
        ) from None
    foreign = sorted(there - ours)
    if foreign:
        raise UserError(
            f"the folder holds '{foreign[0]}', which eennc did not write: it would be lost",
            place=place,
            hint="give another folder after -o, or move that away",
        )


def hash_files(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of files in a folder, hexadecimal, by name."""
    return {name: sha256_of(folder / name) for name in sorted(names)}


def build_of(files: Mapping[str, str]) -> str:
    """What a build is known by: 16 hexadecimal digits that depend on the bytes of all its files."""
    return hashlib.sha256(to_json(files).encode()).hexdigest()[:16]


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def to_json(value: object) -> str:
    """Deterministic JSON of dataclasses, mappings, sequences, numpy numbers and paths, with a newline at the end."""
    return json.dumps(plain(value), sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def plain(value: object) -> object:
    """The value in what JSON knows; numbers that are not finite become strings. Raises TypeError."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Path():
            return str(value)
        case Mapping():
            return {str(key): plain(item) for key, item in cast(Mapping[object, object], value).items()}
        case list() | tuple():
            return [plain(item) for item in cast("list[object]", value)]
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        case _ if hasattr(value, "tolist"):
            # a numpy array or number
            return plain(cast(Any, value).tolist())
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON form")


def _specs(found: dict[str, Any], name: str) -> list[dict[str, object]]:
    """The mappings in a list of the manifest."""
    items = cast("list[object]", found[name]) if isinstance(found.get(name), list) else []
    return [cast("dict[str, object]", item) for item in items if isinstance(item, dict)]


def _number(value: object) -> object:
    """Numbers that are not finite from the text that stands for them, in lists too."""
    if isinstance(value, list):
        return [_number(item) for item in cast("list[object]", value)]
    return float(value) if isinstance(value, str) and value in ("inf", "-inf", "nan") else value


def _write(content: Mapping[str, object], path: Path) -> Path:
    with atomic_file(path) as temporary:
        temporary.write_text(to_json(content), encoding="utf-8")
    return path


def _read(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    if not folder.is_dir():
        raise UserError("no such folder", place=Place(str(folder)))
    try:
        found: object = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"not an artefact of eennc: it has no {name}",
            place=Place(str(folder)),
            hint="give the folder that `eennc MODEL -o FOLDER` wrote",
        ) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"not readable as JSON: {error}", place=Place(str(path))) from None
    content = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    schema = content.get("schema")
    if not isinstance(schema, int):
        raise UserError("not a file of eennc: it has no schema version", place=Place(str(path)))
    if schema > SCHEMA:
        raise UserError(
            f"written by a newer eennc: schema {schema}, this one reads up to {SCHEMA}",
            place=Place(str(path)),
            hint="update eennc",
        )
    return content
