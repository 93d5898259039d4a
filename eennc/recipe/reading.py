"""Reads what stands behind -p: a passes.yaml, or passes as inline text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, cast

from annotated_types import Ge

from eennc.data.sources import ARRAYS, Spec
from eennc.passes.base import Pass
from eennc.passes.fold_input import InputDType
from eennc.passes.pipeline import PRESET, Entry, build_passes
from eennc.recipe import InputSpec, Recipe
from eennc.recipe.requirements import LOWER, UPPER, Bound, Requirement, requirement
from eennc.support.diagnostics import Place, UserError, did_you_mean, unknown
from eennc.support.option_text import parse_inline
from eennc.support.options import build
from eennc.support.yaml_file import EntryPath, YamlFile, read_yaml

KEYS = ("data", "input", "seed", "passes", "require", "backend")
SPLITS = ("train", "calibration", "test")

Locate = Callable[[EntryPath], Place]


@dataclass(frozen=True)
class _Input:
    """The entry `input`."""

    mean: float | tuple[float, ...] = 0.0
    """In the units of the data: the model sees (x - mean) / std."""
    std: float | tuple[float, ...] = 1.0
    """In the units of the data, above 0."""
    layout: Literal["nchw", "nhwc", "ncw", "nwc"] = "nchw"
    """Order of the data's axes."""
    dtype: InputDType | None = None
    """What the data are stored as; none: what the model takes."""
    labels: tuple[str, ...] | str | None = None
    """Names of the classes, or a text file with one a line."""


@dataclass(frozen=True)
class _Seed:
    seed: Annotated[int, Ge(0)] = 0


def read_recipe(text: str | None) -> Recipe:
    """The recipe that -p names: a file where it ends in .yaml or .yml or contains a separator, else inline text, and
    the preset where it is None. Raises UserError with file:line:column.
    """
    if text is None:
        return Recipe(tuple(build_passes(PRESET)))
    if text.endswith((".yaml", ".yml")) or "/" in text or "\\" in text:
        return _from_document(read_yaml(Path(text)), Path(text).parent)
    return Recipe(tuple(build_passes(parse_inline(text))))


def _from_document(document: YamlFile, folder: Path) -> Recipe:
    content = document.content
    if content is None:
        content = {}
    if not isinstance(content, Mapping):
        raise UserError("a mapping is wanted", place=document.key_place(()), allowed=f"entries: {', '.join(KEYS)}")
    entries = cast(Mapping[str, object], content)
    for key in entries:
        if key not in KEYS:
            raise UserError(
                f"unknown entry '{key}'",
                place=document.key_place((key,)),
                allowed=f"entries: {', '.join(KEYS)}",
                hint=did_you_mean(str(key), KEYS),
            )
    seed = build(_Seed, _given(entries, "seed"), what=document.name, place_of=document.key_place).seed
    return Recipe(
        passes=tuple(_passes(document, entries)),
        folder=folder,
        data=_data(document, entries.get("data")),
        input=_input(document, entries.get("input"), folder),
        seed=seed,
        require=_require(document, entries.get("require")),
        backend=_backend(document, entries.get("backend")),
    )


def _given(entries: Mapping[str, object], key: str) -> dict[str, object]:
    return {key: entries[key]} if key in entries else {}


def _mapping(document: YamlFile, key: str, value: object, example: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise UserError(f"'{key}' must be a mapping", place=document.key_place((key,)), hint=f"for example {example}")
    return cast(Mapping[str, object], value)


def _passes(document: YamlFile, entries: Mapping[str, object]) -> list[Pass]:
    value = entries.get("passes")
    if value is None:
        return build_passes(PRESET)
    if not isinstance(value, list):
        raise UserError(
            "'passes' must be a list", place=document.key_place(("passes",)), hint="passes: [canonicalise, ...]"
        )
    listed: list[Entry] = []
    inside: list[bool] = []
    for index, item in enumerate(cast(list[object], value)):
        place = document.key_place(("passes", index))
        if isinstance(item, str):
            listed.append((item, {}))
        elif isinstance(item, Mapping) and len(cast(Mapping[str, object], item)) == 1:
            ((name, options),) = cast(Mapping[str, object], item).items()
            if options is not None and not isinstance(options, Mapping):
                raise UserError(
                    f"the options of '{name}' must be a mapping", place=place, hint=f"{name}: {{option: value}}"
                )
            listed.append((str(name), cast(Mapping[str, object], options or {})))
        else:
            raise UserError(
                "a pass is a name, or one name with its options", place=place, hint="insert-exits: {grid: 2}"
            )
        inside.append(not isinstance(item, str))

    def locate(path: EntryPath) -> Place:
        index, *rest = path
        name = (listed[int(index)][0],) if inside[int(index)] else ()
        return document.key_place(("passes", index, *name, *rest))

    return build_passes(listed, locate)


def _data(document: YamlFile, value: object) -> dict[str, Spec]:
    if value is None:
        return {}
    example = "data: {train: train.npz, calibration: calibration.npz, test: test.npz}"
    sources: dict[str, Spec] = {}
    for name, source in _mapping(document, "data", value, example).items():
        place = document.key_place(("data", name))
        if name not in SPLITS:
            raise unknown("split", str(name), SPLITS, place=place)
        if isinstance(source, Mapping):
            files = cast(Mapping[str, object], source)
            for array, path in files.items():
                if array not in ARRAYS:
                    raise unknown("array", str(array), ARRAYS, place=document.key_place(("data", name, array)))
                if not isinstance(path, str):
                    raise UserError("a file name is wanted", place=document.key_place(("data", name, array)))
            sources[name] = {array: str(path) for array, path in files.items()}
        elif isinstance(source, str):
            sources[name] = source
        else:
            raise UserError(
                f"'{name}' must be a source",
                place=place,
                allowed="a source is an .npz file, {x: a.npy, y: b.npy}, or module:function",
            )
    return sources


def _input(document: YamlFile, value: object, folder: Path) -> InputSpec | None:
    if value is None:
        return None
    options = _mapping(document, "input", value, "input: {mean: 127.5, std: 127.5, dtype: uint8}")
    given = build(_Input, options, what="'input'", place_of=lambda path: document.key_place(("input", *path)))
    labels = given.labels
    if isinstance(labels, str):
        try:
            labels = tuple((folder / labels).read_text(encoding="utf-8").split("\n"))
        except (OSError, UnicodeDecodeError) as error:
            place = document.key_place(("input", "labels"))
            raise UserError(f"cannot read the class names: {error}", place=place) from None
        labels = labels[:-1] if labels[-1] == "" else labels
    layout = "channels-last" if given.layout in ("nhwc", "nwc") else "channels-first"
    return InputSpec(given.mean, given.std, layout, given.dtype, labels)


def _require(document: YamlFile, value: object) -> tuple[Requirement, ...]:
    if value is None:
        return ()
    figures = (*UPPER, *LOWER)
    example = "require: {accuracy_drop: {max: 0.01, split: test, statistic: upper95}}"
    found: list[Requirement] = []
    for name, bound in _mapping(document, "require", value, example).items():
        place = document.key_place(("require", name))
        if name not in figures:
            raise unknown("requirement", str(name), figures, place=place)
        options = _mapping(document, "require", bound, example)
        locate = _Below(document.key_place, ("require", name))
        try:
            found.append(requirement(name, build(Bound, options, what=f"requirement '{name}'", place_of=locate)))
        except UserError as error:
            raise error.at(place) from None
    return tuple(found)


def _backend(document: YamlFile, value: object) -> tuple[str, dict[str, object]] | None:
    if value is None:
        return None
    if isinstance(value, str):
        return value, {}
    entry = _mapping(document, "backend", value, "backend: {onnx: {batch: 1}}")
    if len(entry) != 1:
        raise UserError("'backend' names one backend", place=document.key_place(("backend",)))
    ((name, options),) = entry.items()
    return str(name), dict(_mapping(document, "backend", options or {}, "backend: {onnx: {batch: 1}}"))


@dataclass(frozen=True)
class _Below:
    """Places below a path of the document."""

    locate: Locate
    path: EntryPath

    def __call__(self, path: EntryPath) -> Place:
        return self.locate((*self.path, *path))
