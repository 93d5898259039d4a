"""The text form of modules. `eennc.ir.parser` reads it back; weights' contents go beside it (`eennc.ir.text`)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping

import numpy as np

from eennc.ir.fields import Attr
from eennc.ir.graph import Graph, Module
from eennc.ir.op import Op, Origin
from eennc.ir.types import TensorType
from eennc.ir.values import Argument, Value, Weight

VERSION = 1
PLAIN_NAME = r"[A-Za-z0-9_](?:[\w.$/-]|::)*"
INLINE_LIMIT = 8
"""Integer weights of at most this many elements (shapes, indices) are written into the text."""


def quoted_unless_plain(name: str) -> str:
    """A name as it stands behind `@` or `%`."""
    return name if re.fullmatch(PLAIN_NAME, name, re.ASCII) else json.dumps(name)


def is_inline(weight: Weight) -> bool:
    """Whether the text carries the weight's content."""
    return not weight.type.dtype.is_float and weight.array.size <= INLINE_LIMIT


def print_attr(value: Attr, *, bare: bool = False) -> str:
    """One attribute value."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value if bare else json.dumps(value)
        case bytes():
            return f'base64"{base64.b64encode(value).decode()}"'
        case tuple():
            return f"[{', '.join(print_attr(item) for item in value)}]"
        case int() | float():
            # by way of the plain types: numpy's print their own names
            return float.__repr__(value) if isinstance(value, float) else int.__repr__(value)
        case _:
            if isinstance(value, np.generic):
                return print_attr(value.item())
            raise TypeError(f"an attribute cannot be a {type(value).__name__}: {value!r}")


def print_attrs(attrs: Mapping[str, Attr], bare: frozenset[str] = frozenset()) -> str:
    """`{a = 1, b = relu}`."""
    shown = (f"{_key(name)} = {print_attr(value, bare=name in bare)}" for name, value in attrs.items())
    return "{" + ", ".join(shown) + "}"


def _key(name: str) -> str:
    # inf and nan are numbers to the reader
    return name if re.fullmatch(r"(?!(?:inf|nan)$)[A-Za-z_][A-Za-z0-9_-]*", name) else json.dumps(name)


def print_types(types: list[TensorType]) -> str:
    """`tensor<...>, tensor<...>`."""
    return ", ".join(map(str, types))


class Names:
    """Gives each value of a graph its name: arguments keep theirs, results are numbered."""

    def __init__(self, graph: Graph) -> None:
        self._names: dict[Value, str] = {argument: argument.name for argument in graph.arguments}
        taken = set(self._names.values())
        number = 0
        for op in graph.ops:
            for result in op.results:
                while str(number) in taken:
                    number += 1
                self._names[result] = str(number)
                number += 1

    def of(self, value: Value) -> str:
        """`%3`, `@conv1.w`, or `%?` for a value of no known origin."""
        if isinstance(value, Weight):
            return "@" + quoted_unless_plain(value.name)
        name = self._names.get(value)
        return "%" + quoted_unless_plain(name) if name is not None else "%?"


class _LocalNames(Names):
    """Names for an op printed alone."""

    def __init__(self, op: Op) -> None:
        arguments = {value.name: value for value in op.inputs if isinstance(value, Argument)}
        self._names = {value: name for name, value in arguments.items()}
        others = [value for value in dict.fromkeys(op.inputs) if not isinstance(value, (Weight, Argument))]
        for number, value in enumerate([*others, *op.results]):
            self._names[value] = str(number)


def op_line(op: Op, names: Names | None = None, *, origins: bool = False, notes: bool = True) -> str:
    """One op as a line."""
    names = names or _LocalNames(op)
    text = ", ".join(names.of(result) for result in op.results)
    text = f"{text} = {op.name}" if text else op.name
    fixed: list[str] = []
    variadic = ""
    for index, slot in enumerate(op.operand_fields):
        if slot.variadic:
            listed = ", ".join(names.of(value) if value else "_" for value in op.operands[index:])
            variadic = f" {slot.name}({listed})"
        else:
            value = op.operands[index]
            fixed.append("_" if value is None else names.of(value))
    while fixed and fixed[-1] == "_":
        fixed.pop()
    text += (" " + ", ".join(fixed) if fixed else "") + variadic
    shown = {
        name: op.attrs[name] for name, attr in op.attr_fields.items() if attr.required or op.attrs[name] != attr.default
    }
    if shown:
        text += " " + print_attrs(shown, frozenset(name for name in shown if op.attr_fields[name].bare))
    if notes and op.notes:
        text += " !" + print_attrs(op.notes)
    if op.results:
        text += f" : {print_types([result.type for result in op.results])}"
    if origins and op.origin != Origin():
        parts = (op.origin.source, op.origin.node, *op.origin.passes)
        text += f" loc({', '.join(map(json.dumps, parts))})"
    return text


def print_graph(graph: Graph, *, origins: bool = False, notes: bool = True, indent: str = "  ") -> str:
    """A graph, without a trailing newline."""
    names = Names(graph)
    arguments = ", ".join(f"{names.of(argument)}: {argument.type}" for argument in graph.arguments)
    returned = print_types([value.type for value in graph.returns])
    head = f"{indent}graph @{quoted_unless_plain(graph.name)}({arguments}) -> {returned} {{"
    body = [f"{indent}  {op_line(op, names, origins=origins, notes=notes)}" for op in graph.ops]
    tail = f"{indent}  return {', '.join(names.of(value) for value in graph.returns)}"
    return "\n".join([head, *body, tail, f"{indent}}}"])


def print_module(module: Module, *, origins: bool = False, notes: bool = True) -> str:
    """A module, with the version of the format in its first line."""
    attributes = f" attributes {print_attrs(module.attributes)}" if module.attributes else ""
    lines = [f"eir {VERSION}", f"module @{quoted_unless_plain(module.name)} stage {module.stage}{attributes} {{"]
    for weight in module.weights():
        line = f"  weight @{quoted_unless_plain(weight.name)} : {weight.type}"
        if is_inline(weight):
            items = np.asarray(weight.array).reshape(-1).tolist()
            line += f" = [{', '.join(print_attr(item) for item in items)}]"
        lines.append(line)
    lines.extend(print_graph(graph, origins=origins, notes=notes) for graph in module.graphs.values())
    return "\n".join([*lines, "}", ""])
