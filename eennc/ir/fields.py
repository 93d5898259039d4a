"""How an op declares its operands and attributes. The declaration is what `Op` checks, prints and parses by."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, NoReturn, SupportsIndex, TypeVar, cast, overload

from eennc.ir.types import DType
from eennc.ir.values import Value, Weight

if TYPE_CHECKING:
    from eennc.ir.op import Op

Attr = int | float | bool | str | bytes | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]
T = TypeVar("T", bound=Attr)
_REQUIRED: Any = object()


class OperandField:
    """One operand: `rank` and `dtype` are checked where given, `floats` asks for a floating-point dtype, `constant` for
    a weight.
    """

    optional = False
    variadic = False

    def __init__(
        self, *, rank: int | None = None, dtype: DType | None = None, floats: bool = False, constant: bool = False
    ) -> None:
        self.rank = rank
        self.dtype = dtype
        self.floats = floats
        self.constant = constant

    def __set_name__(self, owner: type[Op], name: str) -> None:
        self.name = name

    def __set__(self, op: Op, value: object) -> NoReturn:
        raise AttributeError(f"operands are replaced in op.operands, or by op.rebuilt: '{self.name}' is for reading")

    def complaint(self, value: Value) -> str | None:
        """Why `value` cannot stand here, or None."""
        if self.constant and not isinstance(value, Weight):
            return f"operand '{self.name}' must be a weight"
        if self.rank is not None and value.type.rank != self.rank:
            return f"operand '{self.name}' must have rank {self.rank}, not {value.type}"
        if self.dtype is not None and value.type.dtype is not self.dtype:
            return f"operand '{self.name}' must be {self.dtype}, not {value.type}"
        if self.floats and not value.type.dtype.is_float:
            return f"operand '{self.name}' must be floating point, not {value.type}"
        return None


class RequiredOperand(OperandField):
    """An operand that is always there."""

    @overload
    def __get__(self, op: None, owner: type[Op]) -> RequiredOperand: ...
    @overload
    def __get__(self, op: Op, owner: type[Op]) -> Value: ...
    def __get__(self, op: Op | None, owner: type[Op]) -> RequiredOperand | Value:
        if op is None:
            return self
        return cast(Value, op.operands[op.operand_index(self.name)])


class OptionalOperand(OperandField):
    """An operand that may be absent (None)."""

    optional = True

    @overload
    def __get__(self, op: None, owner: type[Op]) -> OptionalOperand: ...
    @overload
    def __get__(self, op: Op, owner: type[Op]) -> Value | None: ...
    def __get__(self, op: Op | None, owner: type[Op]) -> OptionalOperand | Value | None:
        return self if op is None else op.operands[op.operand_index(self.name)]


class VariadicOperand(OperandField):
    """Any number of operands; the last field of its op."""

    variadic = True

    @overload
    def __get__(self, op: None, owner: type[Op]) -> VariadicOperand: ...
    @overload
    def __get__(self, op: Op, owner: type[Op]) -> tuple[Value, ...]: ...
    def __get__(self, op: Op | None, owner: type[Op]) -> VariadicOperand | tuple[Value, ...]:
        if op is None:
            return self
        return tuple(cast(Value, value) for value in op.operands[op.operand_index(self.name) :])


class AttrField(Generic[T]):
    """One attribute: `convert` turns what was given into the stored form and raises ValueError where it cannot."""

    def __init__(self, convert: Callable[[Any], T], default: T = _REQUIRED, *, bare: bool = False) -> None:
        self.convert = convert
        self.default = default
        self.bare = bare
        """Whether a string prints without quotes."""

    @property
    def required(self) -> bool:
        """Whether the attribute has no default."""
        return self.default is _REQUIRED

    def __set_name__(self, owner: type[Op], name: str) -> None:
        self.name = name

    def __set__(self, op: Op, value: object) -> NoReturn:
        raise AttributeError(f"attributes are set as op.attrs['{self.name}'] = ..., or by op.rebuilt")

    @overload
    def __get__(self, op: None, owner: type[Op]) -> AttrField[T]: ...
    @overload
    def __get__(self, op: Op, owner: type[Op]) -> T: ...
    def __get__(self, op: Op | None, owner: type[Op]) -> AttrField[T] | T:
        return self if op is None else cast(T, op.attrs[self.name])


def tensor(
    *, rank: int | None = None, dtype: DType | None = None, floats: bool = False, constant: bool = False
) -> RequiredOperand:
    """A required operand."""
    return RequiredOperand(rank=rank, dtype=dtype, floats=floats, constant=constant)


def optional_tensor(*, rank: int | None = None, dtype: DType | None = None, constant: bool = False) -> OptionalOperand:
    """An operand that may be absent."""
    return OptionalOperand(rank=rank, dtype=dtype, constant=constant)


def tensors(*, rank: int | None = None, dtype: DType | None = None) -> VariadicOperand:
    """Any number of operands, the last field of an op."""
    return VariadicOperand(rank=rank, dtype=dtype)


def _integer(given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, SupportsIndex):
        raise ValueError(f"must be an integer, not {given!r}")
    return operator.index(given)


def _items(given: object, what: str) -> list[Any]:
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise ValueError(f"must be a list of {what}, not {given!r}")
    return list(cast("Iterable[Any]", given))


def _string(given: object) -> str:
    if not isinstance(given, str):
        raise ValueError(f"must be text, not {given!r}")
    return str(given)


def integer(default: int = _REQUIRED, *, minimum: int | None = None) -> AttrField[int]:
    """An int, at least `minimum`."""

    def convert(given: Any) -> int:
        stored = _integer(given)
        if minimum is not None and stored < minimum:
            raise ValueError(f"must be at least {minimum}, not {stored}")
        return stored

    return AttrField(convert, default)


def number(default: float = _REQUIRED) -> AttrField[float]:
    """A float; inf is allowed, NaN is not."""

    def convert(given: Any) -> float:
        if isinstance(given, (str, bool)) or float(given) != float(given):
            raise ValueError(f"must be a number, not {given!r}")
        return float(given)

    return AttrField(convert, default)


def numbers(default: tuple[float, ...] = _REQUIRED) -> AttrField[tuple[float, ...]]:
    """A tuple of floats; inf is allowed, NaN is not."""
    one = number()
    return AttrField(lambda given: tuple(one.convert(item) for item in _items(given, "numbers")), default)


def flag(default: bool = _REQUIRED) -> AttrField[bool]:
    """A bool."""

    def convert(given: Any) -> bool:
        if given not in (True, False):
            raise ValueError(f"must be true or false, not {given!r}")
        return bool(given)

    return AttrField(convert, default)


def ints(
    default: tuple[int, ...] = _REQUIRED, *, length: int | None = None, minimum: int | None = None
) -> AttrField[tuple[int, ...]]:
    """A tuple of ints, of `length` where given, each at least `minimum`."""

    def convert(given: Any) -> tuple[int, ...]:
        stored = tuple(_integer(item) for item in _items(given, "integers"))
        if length is not None and len(stored) != length:
            raise ValueError(f"must have {length} entries, not {len(stored)}")
        if minimum is not None and any(item < minimum for item in stored):
            raise ValueError(f"entries must be at least {minimum}, not {list(stored)}")
        return stored

    return AttrField(convert, default)


def strings(default: tuple[str, ...] = _REQUIRED) -> AttrField[tuple[str, ...]]:
    """A tuple of strings."""
    return AttrField(lambda given: tuple(_string(item) for item in _items(given, "strings")), default)


def text(default: str = _REQUIRED) -> AttrField[str]:
    """Free text; printed quoted."""
    return AttrField(_string, default)


def choice(*allowed: str, default: str = _REQUIRED) -> AttrField[str]:
    """One of some names; printed bare."""

    def convert(given: Any) -> str:
        if given not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}, not {given!r}")
        return str(given)

    return AttrField(convert, default, bare=True)


def payload() -> AttrField[bytes]:
    """Raw bytes; printed as base64."""

    def convert(given: Any) -> bytes:
        if not isinstance(given, bytes):
            raise ValueError(f"must be bytes, not {given!r}")
        return given

    return AttrField(convert)
