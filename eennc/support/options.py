"""Typed options: a frozen dataclass from plain values (YAML, inline text), its description, and the inline text form.

Types a field may have: bool, int, float, str, Literal, tuples, dict[str, T], unions with None, nested frozen
dataclasses. `Annotated[int, Ge(1)]` (annotated_types) limits a range. The doc of a field is the string below it.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar, cast

from eennc.support.diagnostics import Place, UserError, did_you_mean
from eennc.support.option_docs import field_docs
from eennc.support.option_text import parse_inline, value_text

__all__ = ["Option", "build", "describe", "parse_inline", "to_inline", "type_text"]

Path = tuple[str | int, ...]
PlaceOf = Callable[[Path], Place | None]
T = TypeVar("T")

_NAMES = {bool: "true | false", int: "integer", float: "number", str: "text", type(None): "none"}
_LIMITS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_LENGTHS = {"min_length": "at least", "max_length": "at most"}


@dataclasses.dataclass(frozen=True)
class Option:
    """One option as it is shown to the user; `default_text` is None where the option must be given."""

    name: str
    type_text: str
    default_text: str | None
    doc: str

    def __str__(self) -> str:
        default = "required" if self.default_text is None else f"default {self.default_text}"
        return f"{self.name} ({self.type_text}, {default})"


class Named(Protocol):
    """An instance of a dataclass with a class-level name: a pass, a backend."""

    name: ClassVar[str]


def build(cls: type[T], options: Mapping[str, object], *, what: str, place_of: PlaceOf | None = None) -> T:
    """An instance of the frozen dataclass `cls`. `what` names it in messages ("pass 'insert-exits'").

    `place_of` gives the place of an entry from its path in `options`; () is the whole. An int stands for a float, but
    nothing else is converted. Raises UserError for an unknown, missing or ill-typed option.
    """
    locate: PlaceOf = place_of or _nowhere
    hints = typing.get_type_hints(cls, include_extras=True)
    for path, owner, name in _unknown_names(cls, options, ()):
        fields = _fields(owner)
        within = f" in '{_path_text(path[:-1])}'" if path[:-1] else ""
        raise UserError(
            f"{what} has no option '{name}'{within}",
            place=locate(path),
            allowed=_allowed(owner, what),
            hint=did_you_mean(name, fields),
        )
    values: dict[str, object] = {}
    for name, field in _fields(cls).items():
        if name in options:
            values[name] = _validated(hints[name], options[name], (name,), what, locate)
        elif _required(field):
            raise UserError(f"{what} needs option '{name}'", place=locate(()), allowed=_allowed(cls, what))
    try:
        return cls(**values)
    except ValueError as error:
        raise UserError(f"{what}: {error}", place=locate(()), allowed=_allowed(cls, what)) from None


def describe(cls: type[Any]) -> list[Option]:
    """The options of a dataclass, in the order of its fields."""
    hints = typing.get_type_hints(cls, include_extras=True)
    docs = field_docs(cls)
    return [
        Option(name, type_text(hints[name]), _default_text(field), docs.get(name, ""))
        for name, field in _fields(cls).items()
    ]


def to_inline(instance: Named) -> str:
    """`name{a=1,b=[x,y]}`; options that have their default value are left out."""
    given: list[str] = []
    for name, field in _fields(type(instance)).items():
        value = getattr(instance, name)
        if _required(field) or value != _default(field):
            given.append(f"{name}={value_text(value)}")
    return f"{instance.name}{{{','.join(given)}}}" if given else instance.name


def type_text(hint: Any) -> str:
    """A type as the user reads it: `integer >= 1`, `list of text`, `pooled | conv`, `number or none`."""
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if hint is Any or hint is object:
        return "anything"
    if origin is typing.Annotated:
        return type_text(arguments[0]) + "".join(map(_limits_text, arguments[1:]))
    if origin is typing.Literal:
        return " | ".join(value_text(item) for item in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_text(item) for item in arguments)
    if origin in (tuple, list):
        if origin is list or arguments[1:] == (Ellipsis,):
            return f"list of {type_text(arguments[0])}"
        return f"[{', '.join(type_text(item) for item in arguments)}]"
    if origin in (dict, Mapping):
        return f"mapping of {type_text(arguments[0])} to {type_text(arguments[1])}"
    if dataclasses.is_dataclass(hint):
        return f"{{{', '.join(map(str, describe(cast(type[Any], hint))))}}}"
    return _NAMES.get(hint, getattr(hint, "__name__", str(hint)))


def _limits_text(limit: object) -> str:
    # annotated_types' own (Ge, Interval, Len) and pydantic's Field(ge=...) alike
    limits = [limit, *getattr(limit, "metadata", ())]
    parts = [f" {sign} {bound}" for one in limits for name, sign in _LIMITS.items() if (bound := _bound(one, name))]
    parts += [
        f" ({words} {bound})" for one in limits for name, words in _LENGTHS.items() if (bound := _bound(one, name))
    ]
    return " and".join(parts)


def _bound(limit: object, name: str) -> str | None:
    bound = getattr(limit, name, None)
    return None if bound is None or (name == "min_length" and bound == 0) else str(bound)


def _fields(cls: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    return {field.name: field for field in dataclasses.fields(cls) if field.init}


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _default(field: dataclasses.Field[Any]) -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _default_text(field: dataclasses.Field[Any]) -> str | None:
    return None if _required(field) else value_text(_default(field))


def _allowed(cls: type[Any], what: str) -> str:
    options = describe(cls)
    return f"options: {', '.join(map(str, options))}" if options else f"{what} has no options"


def _path_text(path: Path) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _unknown_names(hint: Any, value: object, path: Path) -> Iterator[tuple[Path, type[Any], str]]:
    """Names in nested mappings that their dataclass has not: pydantic lets them through for plain dataclasses."""
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        cls = cast(type[Any], hint)
        fields = _fields(cls)
        hints = typing.get_type_hints(cls, include_extras=True)
        for name, item in cast(Mapping[Any, object], value).items():
            if name not in fields:
                yield (*path, str(name)), cls, str(name)
            else:
                yield from _unknown_names(hints[name], item, (*path, name))
    elif origin is typing.Annotated:
        yield from _unknown_names(arguments[0], value, path)
    elif origin in (typing.Union, types.UnionType):
        # of several dataclasses pydantic picks the one that fits
        inner = [item for item in arguments if item is not type(None)]
        if len(inner) == 1:
            yield from _unknown_names(inner[0], value, path)
    elif origin is tuple and isinstance(value, (list, tuple)):
        items = cast(Sequence[object], value)
        kinds = arguments[:1] * len(items) if arguments[1:] == (Ellipsis,) else arguments
        for index, (kind, item) in enumerate(zip(kinds, items, strict=False)):
            yield from _unknown_names(kind, item, (*path, index))
    elif origin is dict and isinstance(value, Mapping):
        for name, item in cast(Mapping[Any, object], value).items():
            yield from _unknown_names(arguments[1], item, (*path, str(name)))


def _validated(hint: Any, value: object, path: Path, what: str, locate: PlaceOf) -> object:
    from pydantic import TypeAdapter, ValidationError  # slow to import

    near: str | None = None
    try:
        # JSON because pydantic's strict mode takes a list for a tuple, a mapping for a dataclass, only from there
        plain = json.dumps(value, default=_not_plain)
        return TypeAdapter(hint).validate_json(plain, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        inner, found = _follow(value, first["loc"])
        message = f"option '{_path_text((*path, *inner))}' of {what}"
        if first["type"] in ("value_error", "assertion_error"):
            message += f": {first['ctx']['error']}" if "ctx" in first else f": {first['msg']}"
        else:
            wanted = _hint_at(hint, inner)
            message += f" must be {type_text(wanted)}, not {_shown(found)}"
            near = did_you_mean(found, _words(wanted)) if isinstance(found, str) else None
        raise UserError(message, place=locate((*path, *inner)), hint=near) from None
    except TypeError:
        raise UserError(
            f"option '{_path_text(path)}' of {what} must be {type_text(hint)}, not {_shown(value)}", place=locate(path)
        ) from None


def _words(hint: Any) -> list[str]:
    """The words that a type allows."""
    if typing.get_origin(hint) is typing.Literal:
        return [item for item in typing.get_args(hint) if isinstance(item, str)]
    return [word for item in typing.get_args(hint) for word in _words(item)]


def _nowhere(path: Path) -> None:
    return None


def _not_plain(value: object) -> object:
    raise TypeError(f"{type(value).__name__} is not a plain value")


def _shown(value: object) -> str:
    try:
        text = value_text(value)
    except TypeError:
        text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _follow(value: object, location: tuple[str | int, ...]) -> tuple[Path, object]:
    """The part of pydantic's location that exists in the value (it also names members of unions), and what is there."""
    path: list[str | int] = []
    for part in location:
        inside: dict[str | int, object] = {}
        if isinstance(value, Mapping):
            inside.update(cast(Mapping[str | int, object], value))
        elif isinstance(value, (list, tuple)):
            inside.update(enumerate(cast(Sequence[object], value)))
        if part in inside:
            value = inside[part]
            path.append(part)
    return tuple(path), cast(object, value)


def _hint_at(hint: Any, path: Path) -> Any:
    """The type that stands at a path below `hint`."""
    for depth, part in enumerate(path):
        origin = typing.get_origin(hint)
        arguments = typing.get_args(hint)
        if origin is typing.Annotated:
            return _hint_at(arguments[0], path[depth:])
        if origin in (typing.Union, types.UnionType):
            inner = [item for item in arguments if item is not type(None)]
            return _hint_at(inner[0], path[depth:]) if len(inner) == 1 else hint
        if dataclasses.is_dataclass(hint):
            hint = typing.get_type_hints(cast(type[Any], hint), include_extras=True)[str(part)]
        elif origin is dict:
            hint = arguments[1]
        elif origin is tuple:
            hint = arguments[0] if arguments[1:] == (Ellipsis,) else arguments[cast(int, part)]
    return hint
