"""YAML files as plain values, with the place of each entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from eennc.support.diagnostics import Place, UserError

EntryPath = tuple[str | int, ...]
"""How an entry is reached from the top: keys of mappings, indices of lists."""
Mark = tuple[int, int, int]
"""Line and column, from 0, and the number of characters to point at."""
LARGEST = 10_000_000
"""Bytes above which a file is taken for something else."""
_MOST = 100_000
"""Entries above which aliases have multiplied."""


@dataclass(frozen=True)
class YamlFile:
    """A file's content: None, bool, int, float, str, list, dict with text keys. Text and places are kept."""

    name: str
    content: object
    lines: tuple[str, ...]
    _keys: Mapping[EntryPath, Mark]
    _values: Mapping[EntryPath, Mark]

    def place(self, path: EntryPath = ()) -> Place:
        """Where the value at `path` stands; the nearest thing around it where nothing does."""
        return self._place(self._values, path)

    def key_place(self, path: EntryPath) -> Place:
        """Where the key of the entry at `path` stands; the item itself in a list."""
        return self._place(self._keys if path in self._keys else self._values, path)

    def _place(self, marks: Mapping[EntryPath, Mark], path: EntryPath) -> Place:
        while path not in marks:
            if not path:
                return Place(self.name)
            path = path[:-1]
        return _at(self.name, self.lines, marks[path])


def read_yaml(path: Path) -> YamlFile:
    """Parse a YAML 1.2 file; raises UserError with line and column where it is not one document of plain values."""
    name = str(path)
    place = Place(name)
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise UserError("no such file", place=place) from None
    except IsADirectoryError:
        raise UserError("this is a folder, not a YAML file", place=place) from None
    except OSError as error:
        raise UserError(f"the file cannot be read: {error.strerror}", place=place) from None
    if len(content) > LARGEST:
        raise UserError(f"the file is larger than {LARGEST:,} bytes", place=place)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError("the file is not UTF-8 text", place=Place(name, line)) from None
    return parse_yaml(text, name)


def parse_yaml(text: str, name: str) -> YamlFile:
    """The same of a text; `name` stands for the file in messages."""
    from ruamel.yaml import YAML  # slow to import
    from ruamel.yaml.error import MarkedYAMLError, YAMLError, YAMLStreamError

    lines = tuple(text.splitlines())
    try:
        # pure Python: only it marks every node
        node: Any = cast(Any, YAML(typ="safe", pure=True)).compose(text)
        reader = _Reader(name, lines)
        content = None if node is None else reader.plain(node, ())
    except MarkedYAMLError as error:
        found: Any = error
        mark = found.problem_mark or found.context_mark
        problem = str(found.problem or found.context).partition(" with value")[0]
        place = _at(name, lines, (mark.line, mark.column, 1)) if mark else Place(name)
        raise UserError(f"not valid YAML: {problem}", place=place) from None
    except (YAMLError, YAMLStreamError, ValueError) as error:
        problem = str(getattr(error, "reason", None) or error).splitlines()[0]
        raise UserError(f"not valid YAML: {problem}", place=Place(name)) from None
    return YamlFile(name, content, lines, reader.keys, reader.values)


def _at(name: str, lines: tuple[str, ...], mark: Mark) -> Place:
    line, column, width = mark
    excerpt = lines[line] if line < len(lines) else None
    # the caret must stand below the character also where tabs come before it
    shown = None if excerpt is None else excerpt.replace("\t", " ")
    return Place(name, line + 1, column + 1, excerpt=shown, width=width)


def _mark(node: Any) -> Mark:
    start, end = node.start_mark, node.end_mark
    one_word = node.id == "scalar" and start.line == end.line
    return int(start.line), int(start.column), max(1, int(end.column) - int(start.column)) if one_word else 1


class _Reader:
    """Turns nodes into plain values and keeps where they stood."""

    def __init__(self, name: str, lines: tuple[str, ...]) -> None:
        from ruamel.yaml import YAML

        self.name = name
        self.lines = lines
        self.keys: dict[EntryPath, Mark] = {}
        self.values: dict[EntryPath, Mark] = {}
        self._scalars: Any = cast(Any, YAML(typ="safe", pure=True)).constructor
        self._open: list[object] = []

    def plain(self, node: Any, path: EntryPath) -> object:
        mark = _mark(node)
        self.values[path] = mark
        if len(self.values) > _MOST:
            raise UserError(f"more than {_MOST:,} entries", place=_at(self.name, self.lines, mark))
        if any(node is outer for outer in self._open):
            raise UserError("an alias that contains itself", place=_at(self.name, self.lines, mark))
        self._open.append(node)
        try:
            if node.id == "mapping":
                return self._mapping(node, path)
            if node.id == "sequence":
                return [self.plain(item, (*path, index)) for index, item in enumerate(node.value)]
            return self._scalar(node, mark)
        finally:
            self._open.pop()

    def _mapping(self, node: Any, path: EntryPath) -> dict[str, object]:
        found: dict[str, object] = {}
        merged: dict[str, object] = {}
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                for part in value.value if value.id == "sequence" else [value]:
                    inner = self.plain(part, path)
                    merged = {**(cast("dict[str, object]", inner) if isinstance(inner, dict) else {}), **merged}
                continue
            mark = _mark(key)
            if key.id != "scalar":
                raise UserError("a key must be a word", place=_at(self.name, self.lines, mark))
            name = str(key.value)
            if name in found:
                raise UserError(f"'{name}' is given twice", place=_at(self.name, self.lines, mark))
            found[name] = self.plain(value, (*path, name))
            self.keys[*path, name] = mark
        return {**merged, **found}

    def _scalar(self, node: Any, mark: Mark) -> object:
        value: object = self._scalars.construct_object(node, deep=True)
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        # dates and the like: what was written
        if str(node.tag).startswith("tag:yaml.org,2002:") and node.value:
            return str(node.value)
        raise UserError("neither a number, a word, a list nor a mapping", place=_at(self.name, self.lines, mark))
