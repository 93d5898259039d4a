"""Reads the text form of modules. Weights whose content is not in the text come from a mapping by name."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Container, Mapping
from typing import cast

import numpy as np

import eennc.ir.ops as op_folder
from eennc.ir.fields import Attr
from eennc.ir.graph import Graph, Module
from eennc.ir.op import OPS, Op, Origin, VerifyError
from eennc.ir.printer import PLAIN_NAME, VERSION, print_types
from eennc.ir.types import Array, Dim, DType, Layout, Quant, TensorType
from eennc.ir.values import Argument, Value, Weight
from eennc.support.diagnostics import Place, UserError, unknown
from eennc.support.registry import import_folder

import_folder(op_folder)

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
    |(?P<tensor>tensor<[^>]*>)
    |(?P<base64>base64"[^"]*")
    |(?P<string>"(?:[^"\\]|\\.)*")
    |(?P<number>-?(?:\d+(?:\.\d*)?(?:[eE][-+]?\d+)?(?![\w.])|inf\b|nan\b))
    |(?P<arrow>->)
    |(?P<sigil>[%@](?:PLAIN|"(?:[^"\\]|\\.)*"))
    |(?P<word>[A-Za-z_][\w.-]*)
    |(?P<mark>[{}()\[\]=,:!])
    """.replace("PLAIN", PLAIN_NAME),
    re.VERBOSE | re.ASCII,
)


class _Tokens:
    """The text as tokens, with a position for messages."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.list: list[tuple[str, str, int]] = []
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise self.error(f"unexpected character {text[at]!r}", at)
            if found.lastgroup != "space":
                self.list.append((str(found.lastgroup), found.group(), at))
            at = found.end()
        self.list.append(("end", "end of file", len(text)))
        self.next = 0

    def error(self, message: str, at: int | None = None) -> UserError:
        if at is None:
            at = self.list[min(self.next, len(self.list) - 1)][2]
        line = self.text.count("\n", 0, at) + 1
        start = self.text.rfind("\n", 0, at) + 1
        end = self.text.find("\n", start)
        excerpt = self.text[start : end if end >= 0 else None]
        return UserError(message, place=Place(self.file, line, at - start + 1, excerpt=excerpt[:200]))

    def peek(self) -> str:
        return self.list[self.next][1]

    def kind(self) -> str:
        return self.list[self.next][0]

    def take(self, kind: str | None = None) -> str:
        found, text, _ = self.list[self.next]
        if kind is not None and found != kind:
            raise self.error(f"expected a {kind}, found '{text}'")
        self.next += 1
        return text

    def expect(self, text: str) -> None:
        if self.peek() != text:
            raise self.error(f"expected '{text}', found '{self.peek()}'")
        self.next += 1

    def accept(self, text: str) -> bool:
        if self.kind() != "string" and self.peek() == text:
            self.next += 1
            return True
        return False


def parse_type(text: str) -> TensorType:
    """`tensor<Nx8xi8, nhwc, 0.0235:-3>`; raises ValueError."""
    body, *rest = text.removeprefix("tensor<").removesuffix(">").split(", ")
    *dims, dtype = body.split("x")
    shape: list[Dim] = [int(dim) if dim.isdigit() else dim for dim in dims]
    if any(isinstance(dim, str) and dim not in ("N", "?") for dim in shape):
        raise ValueError(f"not a tensor type: {text}")
    layout = Layout(rest.pop(0)) if rest and ":" not in rest[0] else None
    quant = Quant.parse(rest.pop(0)) if rest else None
    if rest:
        raise ValueError(f"not a tensor type: {text}")
    return TensorType(tuple(shape), DType(dtype), layout, quant)


class _Parser:
    def __init__(self, text: str, file: str, weights: Mapping[str, Array]) -> None:
        self.tokens = _Tokens(text, file)
        self.arrays = weights
        self.weights: dict[str, Weight] = {}
        self.values: dict[str, Value] = {}

    def name(self, sigil: str) -> str:
        text = self.tokens.take("sigil")
        if text[0] != sigil:
            self.tokens.next -= 1
            raise self.tokens.error(f"expected a name behind '{sigil}'")
        return self.quoted(text[1:]) if text[1] == '"' else text[1:]

    def quoted(self, text: str) -> str:
        """What a string just taken says."""
        try:
            return str(json.loads(text))
        except ValueError as error:
            self.tokens.next -= 1
            raise self.tokens.error(f"not a string of JSON: {error}") from None

    def new_name(self, sigil: str, taken: Container[str], what: str) -> str:
        """A name that `taken` does not hold yet."""
        name = self.name(sigil)
        if name in taken:
            self.tokens.next -= 1
            raise self.tokens.error(f"{what} '{sigil}{name}' is defined twice")
        return name

    def type(self) -> TensorType:
        text = self.tokens.take("tensor")
        try:
            return parse_type(text)
        except ValueError as error:
            self.tokens.next -= 1
            raise self.tokens.error(str(error)) from None

    def types(self) -> list[TensorType]:
        types = [self.type()]
        while self.tokens.accept(","):
            types.append(self.type())
        return types

    def attr(self) -> Attr:
        if not self.tokens.accept("["):
            return self.scalar()
        items: list[int | float | bool | str | bytes] = []
        while not self.tokens.accept("]"):
            items.append(self.scalar())
            if self.tokens.peek() != "]":
                self.tokens.expect(",")
        return cast(Attr, tuple(items))

    def scalar(self) -> int | float | bool | str | bytes:
        tokens = self.tokens
        kind, text = tokens.kind(), tokens.peek()
        if kind not in ("string", "base64", "number", "word"):
            raise tokens.error(f"expected a value, found '{text}'")
        tokens.next += 1
        if kind == "string":
            return self.quoted(text)
        if kind == "word":
            return {"true": True, "false": False}.get(text, text)
        try:
            if kind == "base64":
                return base64.b64decode(text[len('base64"') : -1], validate=True)
            return int(text) if re.fullmatch(r"-?\d+", text) else float(text)
        except ValueError as error:
            tokens.next -= 1
            raise tokens.error(str(error)) from None

    def attrs(self, known: Collection[str] | None = None, of: str = "") -> dict[str, Attr]:
        """`{a = 1}`; `known` are the names that `of` may have, where not all are allowed."""
        tokens = self.tokens
        tokens.expect("{")
        attrs: dict[str, Attr] = {}
        while not tokens.accept("}"):
            name = self.quoted(tokens.take()) if tokens.kind() == "string" else tokens.take("word")
            if name in attrs:
                tokens.next -= 1
                raise tokens.error(f"'{name}' is given twice")
            if known is not None and name not in known:
                tokens.next -= 1
                raise unknown(f"attribute of {of}", name, known, place=tokens.error("").place)
            tokens.expect("=")
            attrs[name] = self.attr()
            if tokens.peek() != "}":
                tokens.expect(",")
        return attrs

    def weight(self) -> None:
        name = self.new_name("@", self.weights, "weight")
        self.tokens.expect(":")
        type = self.type()
        if any(isinstance(dim, str) for dim in type.shape):
            raise self.tokens.error(f"weight '{name}' must have a static shape, not {type}")
        if self.tokens.accept("="):
            items = self.attr()
            try:
                array: Array = np.array(items, type.dtype.numpy).reshape(type.concrete())
            except (ValueError, TypeError, OverflowError) as error:
                raise self.tokens.error(f"weight '{name}' is not {type}: {error}") from None
        elif name in self.arrays:
            array = self.arrays[name]
        else:
            raise self.tokens.error(f"weight '{name}' has no content in the weights file")
        if not type.accepts(array):
            raise self.tokens.error(
                f"weight '{name}' is {array.dtype}{list(array.shape)} in the weights file, not {type}"
            )
        self.weights[name] = Weight(name, array)

    def value(self) -> Value | None:
        tokens = self.tokens
        if tokens.accept("_"):
            return None
        if tokens.peek().startswith("@"):
            name = self.name("@")
            if name not in self.weights:
                tokens.next -= 1
                raise tokens.error(f"weight '@{name}' is not declared")
            return self.weights[name]
        name = self.name("%")
        if name not in self.values:
            tokens.next -= 1
            raise tokens.error(f"value '%{name}' is not defined")
        return self.values[name]

    def value_list(self) -> list[Value | None]:
        listed = [self.value()]
        while self.tokens.accept(","):
            listed.append(self.value())
        return listed

    def at_value(self) -> bool:
        return self.tokens.kind() == "sigil" or self.tokens.peek() == "_"

    def op(self) -> Op:
        tokens = self.tokens
        start = tokens.list[tokens.next][2]
        names: list[str] = []
        if tokens.peek().startswith("%"):
            names.append(self.new_name("%", self.values, "value"))
            while tokens.accept(","):
                names.append(self.new_name("%", {*self.values, *names}, "value"))
            tokens.expect("=")
        name = tokens.take("word")
        if name not in OPS:
            tokens.next -= 1
            place = tokens.error("").place
            raise unknown("op", name, OPS, place=place)
        cls = OPS.get(name)
        slots = cls.operand_fields
        fields: dict[str, object] = {}
        if self.at_value():
            listed = self.value_list()
            fixed = [slot for slot in slots if not slot.variadic]
            if len(listed) > len(fixed):
                raise tokens.error(f"{name} takes {len(fixed)} operands, not {len(listed)}", start)
            fields.update((slot.name, value) for slot, value in zip(fixed, listed, strict=False))
        if slots and slots[-1].variadic and tokens.accept(slots[-1].name):
            tokens.expect("(")
            fields[slots[-1].name] = [] if tokens.peek() == ")" else self.value_list()
            tokens.expect(")")
        if tokens.peek() == "{":
            fields.update(self.attrs(cls.attr_fields, name))
        notes = self.attrs() if tokens.accept("!") else {}
        types = self.types() if tokens.accept(":") else []
        origin = Origin()
        if tokens.accept("loc"):
            tokens.expect("(")
            parts = [str(self.attr())]
            while tokens.accept(","):
                parts.append(str(self.attr()))
            tokens.expect(")")
            origin = Origin(parts[0], "".join(parts[1:2]), tuple(parts[2:]))
        try:
            op = cls(origin=origin, types=types if cls.explicit_types else None, notes=notes, **fields)
        except VerifyError as error:
            raise tokens.error(error.message, start) from None
        found = [result.type for result in op.results]
        if found != types:
            raise tokens.error(
                f"{name} has result types {print_types(found)}, the text says {print_types(types)}", start
            )
        if len(names) != len(types):
            raise tokens.error(f"{name} has {len(types)} results, {len(names)} are named", start)
        self.values.update(zip(names, op.results, strict=True))
        return op

    def graph(self, taken: Container[str]) -> Graph:
        tokens = self.tokens
        self.values = {}
        graph = Graph(self.new_name("@", taken, "graph"), [])
        tokens.expect("(")
        while not tokens.accept(")"):
            name = self.new_name("%", self.values, "argument")
            tokens.expect(":")
            argument = Argument(name, self.type())
            graph.arguments.append(argument)
            self.values[name] = argument
            if tokens.peek() != ")":
                tokens.expect(",")
        tokens.expect("->")
        types = self.types()
        tokens.expect("{")
        while not tokens.accept("return"):
            graph.add(self.op())
        for value in self.value_list():
            if value is None:
                raise tokens.error("a graph cannot return '_'")
            graph.returns.append(value)
        if [value.type for value in graph.returns] != types:
            raise tokens.error(f"graph '@{graph.name}' returns other types than it declares")
        tokens.expect("}")
        return graph

    def module(self) -> Module:
        tokens = self.tokens
        tokens.expect("eir")
        if tokens.peek() != str(VERSION):
            found = tokens.take("number")
            error = tokens.error(f"the file has format version {found[:20]}, this eennc reads version {VERSION}", 0)
            error.hint = "use the eennc that wrote it, or a newer one"
            raise error
        tokens.take()
        tokens.expect("module")
        name = self.name("@")
        tokens.expect("stage")
        stage = tokens.take("word")
        attributes = self.attrs() if tokens.accept("attributes") else {}
        tokens.expect("{")
        graphs: dict[str, Graph] = {}
        while not tokens.accept("}"):
            if tokens.accept("weight"):
                self.weight()
            else:
                tokens.expect("graph")
                graph = self.graph(graphs)
                graphs[graph.name] = graph
        tokens.take("end")
        if "main" not in graphs:
            raise UserError("a module needs a graph '@main'", place=Place(tokens.file))
        main = graphs.pop("main")
        return Module(name, main, stage=stage, attributes=attributes, graphs=list(graphs.values()))


def parse_module(text: str, weights: Mapping[str, Array] | None = None, *, file: str = "<text>") -> Module:
    """The module that `print_module` wrote. `weights` holds the arrays that the text only declares.

    Raises UserError with file:line:column.
    """
    return _Parser(text, file, weights or {}).module()
