"""What the C files of one network are put together from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from eennc.backends.cortexm.names import comment
from eennc.ir.op import Op
from eennc.ir.types import Array, DType
from eennc.ir.values import Argument, Result, Value, Weight
from eennc.passes.memory import OFFSET, SCRATCH

C_TYPES = {DType.F32: "float", DType.I8: "int8_t", DType.U8: "uint8_t", DType.I32: "int32_t"}


@dataclass
class Function:
    """A segment or a head. statements: lines of C. reads_input: whether it takes the network's input."""

    name: str
    statements: list[str] = field(default_factory=list[str])
    reads_input: bool = False

    @property
    def head(self) -> bool:
        """Whether it is an exit's head."""
        return self.name.startswith("head")


class Writer:
    """Collects constants, descriptions and calls. `prefix`: of every global symbol. `stands_for`: what a view shows."""

    def __init__(self, prefix: str, stands_for: Mapping[Value, Value]) -> None:
        self.prefix = prefix
        self.stands_for = stands_for
        self.constants: dict[str, Array] = {}
        """Arrays of weights.c by symbol, each content once."""
        self.descriptions: list[str] = []
        self.kernels: dict[str, None] = {}
        """C files that are called, without `.c`."""
        self.functions: dict[str, Function] = {}
        self._symbols: dict[tuple[str, bytes], str] = {}
        self._op: Op | None = None
        self._function = Function("")
        self._number = self._part = 0

    def begin(self, op: Op, function: str) -> None:
        """What is written next belongs to this op."""
        self._op = op
        self._function = self.functions.setdefault(function, Function(function))
        self._number += 1
        self._part = 0
        self._function.statements.append(f"/* {comment(op)} */")

    def call(self, kernel: str, *arguments: str) -> None:
        """Call a kernel."""
        self.kernels[kernel] = None
        self._function.statements.append(f"{kernel}({', '.join(arguments)});")

    def description(self, type: str, fields: Mapping[str, object]) -> str:
        """Write a constant description; returns its address."""
        self._part += 1
        return self.named(type, f"op{self._number}" + f"_{self._part}" * (self._part > 1), fields)

    def named(self, type: str, name: str, fields: Mapping[str, object]) -> str:
        """Write a constant description of this name; returns its address."""
        self.descriptions.append(f"static const {type} {name} = {_initialiser(fields, 1)};")
        return f"&{name}"

    def constant(self, array: Array, role: str) -> str:
        """An array in weights.c; returns its symbol. The same content has one symbol."""
        array = np.ascontiguousarray(array)
        key = (array.dtype.name, array.tobytes())
        if key not in self._symbols:
            symbol = f"{self.prefix}_{role}{len(self._symbols)}"
            self._symbols[key] = symbol
            self.constants[symbol] = array
        return self._symbols[key]

    def at(self, value: Value) -> str:
        """The address of a value as its C type."""
        value = self.stands_for.get(value, value)
        if isinstance(value, Weight):
            return self.constant(value.array, "constant")
        if isinstance(value, Argument):
            self._function.reads_input = True
            return "x"
        assert isinstance(value, Result)
        offsets = value.op.notes[OFFSET]
        assert isinstance(offsets, tuple)
        return f"({C_TYPES[value.type.dtype]} *)(void *)(arena + {offsets[value.index]})"

    def scratch(self, type: str = "int8_t") -> str:
        """The address of the op's scratch memory."""
        assert self._op is not None
        return f"({type} *)(void *)(arena + {self._op.notes[SCRATCH]})" if SCRATCH in self._op.notes else "NULL"


def _initialiser(fields: Mapping[str, object], depth: int) -> str:
    indent = "    " * depth
    parts = [f"{indent}.{name} = {_value(value, depth)}" for name, value in fields.items()]
    return "{\n" + ",\n".join(parts) + f"\n{'    ' * (depth - 1)}}}"


def _value(value: object, depth: int) -> str:
    match value:
        case Mapping():
            return _initialiser(value, depth + 1)  # type: ignore[arg-type]
        case bool():
            return str(int(value))
        case float() | np.floating():
            return c_float(float(value))
        case list() | tuple():
            return "{" + ", ".join(_value(item, depth) for item in value) + "}"  # type: ignore[union-attr]
        case np.integer():
            return c_int(int(value))
        case int():
            return c_int(value)
        case _:
            return str(value)


def c_int(value: int) -> str:
    """An int32 literal; the lowest has no literal of its own."""
    return "(-2147483647 - 1)" if value == -(2**31) else str(value)


def c_float(value: float) -> str:
    """A float literal that reads back as the same float32."""
    if value != value:
        raise ValueError("NaN has no literal in C99")
    if value in (float("inf"), float("-inf")):
        return "INFINITY" if value > 0 else "-INFINITY"
    text = str(np.float32(value))
    return f"{text}f" if any(mark in text for mark in ".e") else f"{text}.0f"


def rows_of(array: Array, width: int = 100) -> Sequence[str]:
    """The elements of an array as lines of C."""
    lines: list[str] = []
    line = ""
    flat = array.reshape(-1)
    texts = [c_float(float(v)) for v in flat] if array.dtype.kind == "f" else [c_int(int(v)) for v in flat]
    for text in texts:
        if line and len(line) + len(text) + 2 > width:
            lines.append(line)
            line = ""
        line = f"{line} {text}," if line else f"{text},"
    return [*lines, line] if line else lines
