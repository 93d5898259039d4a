"""Reads `passes.yaml`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from eennc.backends.base import BACKENDS, Backend
from eennc.data.sources import Spec
from eennc.passes.base import PASSES, Pass
from eennc.passes.fold_input import DataLayout, DataType, FoldInput
from eennc.passes.pipeline import PRESET, build_passes
from eennc.policy.requirements import Quantity, Requirement, SplitName
from eennc.policy.statistics import Statistic
from eennc.recipe.inline import build_backend, make_backend
from eennc.recipe.recipe import SPLITS, Recipe, SplitSource
from eennc.support.diagnostics import UserError, unknown
from eennc.support.options import PlaceOf, build, value_text
from eennc.support.yaml_file import EntryPath, YamlFile, read_yaml

ENTRIES = ("data", "input", "seed", "passes", "require", "backend")


@dataclass(frozen=True)
class InputOptions:
    """What `input:` may say."""

    mean: float | tuple[float, ...] = 0.0
    """Of the data: one number, or one per channel. The network gets (x - mean) / std."""
    std: float | tuple[float, ...] = 1.0
    """Of the data: one number, or one per channel."""
    layout: DataLayout | None = None
    """Axes of the data; none: as the model takes them."""
    dtype: DataType | None = None
    """Of the data; none: what the model takes."""
    labels: str | tuple[str | int, ...] | None = None
    """Names of the classes, or a text file with one a line."""

    def __post_init__(self) -> None:
        self.fold()

    def fold(self) -> FoldInput:
        """The pass; raises ValueError."""
        return FoldInput(self.mean, self.std, self.dtype, self.layout)


@dataclass(frozen=True)
class LimitOptions:
    """What a requirement may say."""

    max: float | None = None
    """Largest value."""
    min: float | None = None
    """Smallest value."""
    split: SplitName = "test"
    """Where it must hold."""
    statistic: Statistic = "point"
    """What must keep the limit: the measured value, or its one-sided 95 % bound."""


def read_recipe(path: Path) -> Recipe:
    """The recipe in a `passes.yaml`; raises UserError with line and column. Plugins must be loaded."""
    return _Reader(read_yaml(path), path.parent).recipe()


class _Reader:
    """A file being read; each method takes the entry it is named after."""

    def __init__(self, file: YamlFile, folder: Path) -> None:
        self.file = file
        self.folder = folder

    def recipe(self) -> Recipe:
        if self.file.content is None:
            raise UserError("the file is empty", place=self.file.place(), allowed=f"entries: {', '.join(ENTRIES)}")
        entries = self._mapping(self.file.content, (), "passes.yaml")
        for name in entries:
            if name not in ENTRIES:
                raise unknown("entry", name, ENTRIES, place=self.file.key_place((name,)))
        given = self._input(entries["input"]) if "input" in entries else None
        return Recipe(
            passes=self._passes(entries["passes"]) if "passes" in entries else tuple(build_passes(PRESET)),
            sources=self._data(entries["data"]) if "data" in entries else {},
            input=None if given is None else given.fold(),
            input_place=self.file.key_place(("input",)) if given else None,
            labels=None if given is None else self._labels(given.labels),
            seed=self._seed(entries["seed"]) if "seed" in entries else None,
            requirements=self._require(entries["require"]) if "require" in entries else (),
            backend=self._backend(entries["backend"]) if "backend" in entries else None,
        )

    def _mapping(self, value: object, path: EntryPath, what: str) -> Mapping[str, object]:
        if not isinstance(value, dict):
            raise UserError(f"{what} must be a mapping, not {_shown(value)}", place=self.file.place(path))
        return cast("dict[str, object]", value)

    def _place_of(self, path: EntryPath, fields: frozenset[str]) -> PlaceOf:
        """An entry whose name is known is shown at its value, another at its name."""

        def place_of(inner: EntryPath) -> Any:
            whole = (*path, *inner)
            known = len(inner) > 1 or not fields.isdisjoint(inner)
            return self.file.place(whole) if known else self.file.key_place(whole)

        return place_of

    def _built(self, cls: type[Any], value: object, path: EntryPath, what: str) -> Any:
        options = self._mapping(value, path, f"'{path[-1]}'")
        return build(cls, options, what=what, place_of=self._place_of(path, _fields(cls)))

    def _data(self, value: object) -> dict[str, SplitSource]:
        found: dict[str, SplitSource] = {}
        for name, spec in self._mapping(value, ("data",), "'data'").items():
            path = ("data", name)
            if name not in SPLITS:
                raise unknown("split", name, SPLITS, place=self.file.key_place(path))
            if not isinstance(spec, (str, dict)):
                raise UserError(
                    f"the {name} data must be a file, a mapping or a function, not {_shown(spec)}",
                    place=self.file.place(path),
                    allowed="forms: file.npz; {x: a.npy, y: b.npy}; module:function",
                )
            found[name] = SplitSource(cast(Spec, spec), self.folder, self.file.place(path))
        return found

    def _input(self, value: object) -> InputOptions:
        return cast(InputOptions, self._built(InputOptions, value, ("input",), "input"))

    def _labels(self, labels: str | tuple[str | int, ...] | None) -> tuple[str, ...] | None:
        place = self.file.place(("input", "labels"))
        if labels is None:
            return None
        if isinstance(labels, str):
            try:
                text = (self.folder / labels).read_text(encoding="utf-8")
            except OSError as error:
                raise UserError(f"the labels in '{labels}' cannot be read: {error.strerror}", place=place) from None
            except UnicodeDecodeError:
                raise UserError(f"the labels in '{labels}' are not UTF-8 text", place=place) from None
            labels = tuple(line.strip() for line in text.splitlines() if line.strip())
        names = tuple(map(str, labels))
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UserError(f"two classes are called '{twice}'", place=place)
        return names

    def _seed(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
            raise UserError(
                f"'seed' must be an integer, at least 0, not {_shown(value)}", place=self.file.place(("seed",))
            )
        return value

    def _passes(self, value: object) -> tuple[Pass, ...]:
        if not isinstance(value, list):
            raise UserError(
                f"'passes' must be a list, not {_shown(value)}",
                place=self.file.place(("passes",)),
                hint="write `- name`, or `- name: {option: value}`, for each pass",
            )
        entries: list[tuple[str, Mapping[str, object]]] = []
        for index, item in enumerate(cast("list[object]", value)):
            entries.append(self._pass(item, ("passes", index)))

        def place_of(path: EntryPath) -> Any:
            index, *inner = path
            name, options = entries[cast(int, index)]
            item = cast("list[object]", value)[cast(int, index)]
            base: EntryPath = ("passes", index, name) if isinstance(item, dict) else ("passes", index)
            if not inner:
                return self.file.key_place(base)
            known = _fields(PASSES.get(name)) if name in PASSES else frozenset(options)
            return self._place_of(base, known)(tuple(inner))

        return tuple(build_passes(entries, place_of))

    def _pass(self, item: object, path: EntryPath) -> tuple[str, Mapping[str, object]]:
        if isinstance(item, str):
            return item, {}
        if not isinstance(item, dict) or len(cast("dict[str, object]", item)) != 1:
            raise UserError(
                f"an item of 'passes' must be a name or one `name: {{options}}`, not {_shown(item)}",
                place=self.file.place(path),
            )
        ((name, options),) = cast("dict[str, object]", item).items()
        if options is None:
            return name, {}
        return name, self._mapping(options, (*path, name), f"the options of '{name}'")

    def _require(self, value: object) -> tuple[tuple[Requirement, Any], ...]:
        if isinstance(value, list):
            found: list[tuple[Requirement, Any]] = []
            for index, item in enumerate(cast("list[object]", value)):
                path = ("require", index)
                found.extend(self._limit(name, path) for name in self._mapping(item, path, "a requirement"))
            return tuple(found)
        return tuple(self._limit(name, ("require",)) for name in self._mapping(value, ("require",), "'require'"))

    def _limit(self, name: str, within: EntryPath) -> tuple[Requirement, Any]:
        path = (*within, name)
        place = self.file.key_place(path)
        if name not in get_args(Quantity):
            raise unknown("requirement", name, get_args(Quantity), place=place)
        given = cast(LimitOptions, self._built(LimitOptions, self._at(path), path, f"requirement '{name}'"))
        wanted, other = ("min", "max") if name in ("accuracy", "balanced_accuracy") else ("max", "min")
        limit = getattr(given, wanted)
        if limit is None or getattr(given, other) is not None or not math.isfinite(limit):
            raise UserError(
                f"requirement '{name}' takes '{wanted}', one finite number",
                place=place,
                hint=f"for instance {name}: {{{wanted}: {0.01 if name.endswith('drop') else 0.8}, split: test}}",
            )
        return Requirement(cast(Quantity, name), limit, given.split, given.statistic), place

    def _at(self, path: EntryPath) -> object:
        value: Any = self.file.content
        for part in path:
            value = value[part]
        return value

    def _backend(self, value: object) -> Backend:
        place = self.file.place(("backend",))
        if isinstance(value, str):
            return build_backend(value, self.file.name, place)
        if isinstance(value, dict) and len(cast("dict[str, object]", value)) == 1:
            ((name, options),) = cast("dict[str, object]", value).items()
            path = ("backend", name)
            fields = _fields(BACKENDS.get(name)) if name in BACKENDS else frozenset[str]()
            return make_backend(
                name, self._mapping(options or {}, path, f"the options of '{name}'"), self._place_of(path, fields)
            )
        raise UserError(
            f"'backend' must be a name or one `name: {{options}}`, not {_shown(value)}",
            place=place,
            allowed=f"known: {', '.join(BACKENDS)}",
        )


def _fields(cls: type[Any]) -> frozenset[str]:
    return frozenset(field.name for field in dataclasses.fields(cls))


def _shown(value: Any) -> str:
    text = "nothing" if value is None else value_text(value)
    return text if len(text) <= 60 else text[:57] + "..."
