"""Inline text of options: `insert-exits{after=[block2,"block 4"]},train-exits{epochs=3}`.

Values are numbers, `true`, `false`, `none`, words, quoted text (JSON strings), `[lists]` and `{name=value}` mappings.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from eennc.support.diagnostics import Place, UserError

Entry = tuple[str, dict[str, object]]

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<string>"(?:[^"\\]|\\.)*")
    |(?P<word>[\w.+/:%~-]+)
    |(?P<mark>[{}\[\],=])
    """,
    re.VERBOSE,
)
_WORD = re.compile(r"[A-Za-z_][\w./:-]*", re.ASCII)
_INTEGER = re.compile(r"[-+]?\d+", re.ASCII)
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_CONSTANTS: dict[str, object] = {
    "true": True,
    "false": False,
    "none": None,
    "inf": float("inf"),
    "-inf": float("-inf"),
    "nan": float("nan"),
}


def value_text(value: object) -> str:
    """A plain value (or a dataclass of plain values) in the inline form."""
    match value:
        case bool():
            return "true" if value else "false"
        case None:
            return "none"
        case int() | float():
            return repr(value)
        case str():
            return value if _WORD.fullmatch(value) and value not in _CONSTANTS else json.dumps(value)
        case list() | tuple():
            return f"[{','.join(map(value_text, cast(Sequence[object], value)))}]"
        case Mapping():
            items = cast(Mapping[object, object], value).items()
            return f"{{{','.join(f'{value_text(str(name))}={value_text(item)}' for name, item in items)}}}"
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return value_text({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
        case _:
            raise TypeError(f"{type(value).__name__} has no inline form")


def parse_inline(text: str, *, what: str = "-p") -> list[Entry]:
    """The (name, options) entries of an inline text. Raises UserError with the column; `what` stands for the file."""
    return _Inline(text, what).entries()


class _Inline:
    def __init__(self, text: str, what: str) -> None:
        self.text = text
        self.what = what
        self.tokens: list[tuple[str, str, int]] = []
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise self.error(f"unexpected character {text[at]!r}", at)
            if found.lastgroup != "space":
                self.tokens.append((str(found.lastgroup), found.group(), at))
            at = found.end()
        self.tokens.append(("end", "the end", len(text)))
        self.next = 0

    def error(self, message: str, at: int | None = None) -> UserError:
        at = self.tokens[self.next][2] if at is None else at
        line = self.text.count("\n", 0, at) + 1
        start = self.text.rfind("\n", 0, at) + 1
        excerpt = self.text[start:].partition("\n")[0]
        return UserError(
            message,
            place=Place(self.what, line, at - start + 1, excerpt=excerpt),
            hint="the form is name{option=value,other=[a,b]},name",
        )

    def accept(self, mark: str) -> bool:
        kind, text, _ = self.tokens[self.next]
        if kind != "mark" or text != mark:
            return False
        self.next += 1
        return True

    def expect(self, mark: str) -> None:
        if not self.accept(mark):
            raise self.error(f"expected '{mark}', found {self.found()}")

    def found(self) -> str:
        kind, text, _ = self.tokens[self.next]
        return text if kind == "end" else f"'{text}'"

    def name(self, what: str) -> str:
        kind, text, _ = self.tokens[self.next]
        if kind == "string":
            self.next += 1
            return self.string(text)
        if kind != "word":
            raise self.error(f"expected {what}, found {self.found()}")
        self.next += 1
        return text

    def string(self, text: str) -> str:
        try:
            return str(json.loads(text, strict=False))
        except json.JSONDecodeError as error:
            self.next -= 1
            raise self.error(f"not a quoted text: {error.msg}") from None

    def entries(self) -> list[Entry]:
        entries: list[Entry] = []
        while self.tokens[self.next][0] != "end":
            name = self.name("the name of a pass")
            entries.append((name, self.mapping() if self.accept("{") else {}))
            if self.tokens[self.next][0] != "end":
                self.expect(",")
        return entries

    def mapping(self) -> dict[str, object]:
        found: dict[str, object] = {}
        while not self.accept("}"):
            name = self.name("the name of an option")
            if name in found:
                self.next -= 1
                raise self.error(f"option '{name}' is given twice")
            self.expect("=")
            found[name] = self.value()
            if not self.accept(","):
                self.expect("}")
                break
        return found

    def value(self) -> Any:
        if self.accept("["):
            items: list[object] = []
            while not self.accept("]"):
                items.append(self.value())
                if not self.accept(","):
                    self.expect("]")
                    break
            return items
        if self.accept("{"):
            return self.mapping()
        kind, text, _ = self.tokens[self.next]
        if kind not in ("word", "string"):
            raise self.error(f"expected a value, found {self.found()}")
        self.next += 1
        if kind == "string":
            return self.string(text)
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INTEGER.fullmatch(text):
            return int(text)
        return float(text) if _NUMBER.fullmatch(text) else text
