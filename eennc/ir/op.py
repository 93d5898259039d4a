"""The base of all ops. An op's meaning is declared in one file: a subclass in `eennc/ir/ops/`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar, cast

from eennc.ir.fields import Attr, AttrField, OperandField
from eennc.ir.types import BATCH, DEEPEST, LARGEST, Array, TensorType
from eennc.ir.values import Result, Value
from eennc.support.registry import Registry


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an op came from: the model file, the node in it, and the passes that made or changed it."""

    source: str = ""
    node: str = ""
    passes: tuple[str, ...] = ()

    def via(self, name: str) -> Origin:
        """The same origin with one more pass."""
        return self if self.passes[-1:] == (name,) else replace(self, passes=(*self.passes, name))

    def __str__(self) -> str:
        return " ".join(part for part in (self.source, f"node '{self.node}'" if self.node else "") if part)


class VerifyError(Exception):
    """An op or a module breaks a rule of the IR. `op` is the one it is about."""

    def __init__(self, message: str, op: Op | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.op = op

    def __str__(self) -> str:
        if self.op is None:
            return self.message
        from eennc.ir.printer import op_line  # the printer needs Op

        line = op_line(self.op)
        where = f"\n  at {self.op.origin}" if str(self.op.origin) else ""
        return f"{self.message}\n  {line}\n  {'^' * min(len(line), 100)}{where}"


@dataclass(frozen=True)
class Case:
    """A small instance of an op, from which the tests of every op are made.

    `operands`: a TensorType is fed with random data (batch `batch`), an array is a weight, None is absent.
    """

    label: str
    operands: tuple[TensorType | Array | None, ...]
    attrs: Mapping[str, Attr] = field(default_factory=dict[str, Attr])
    batch: int = 2
    low: float = -2.0
    """Random floats are drawn from [low, high)."""
    high: float = 2.0


class Op:
    """A node of a graph: operands, attributes, results.

    Subclasses declare operand and attribute fields (`eennc.ir.fields`) and define `infer`, `evaluate` and, where
    they cost any, `macs`. Construct with the field names: `Conv(x=x, weight=w, strides=(2, 2))`. Raises VerifyError
    where an operand or attribute does not fit.
    """

    name: ClassVar[str] = ""
    operand_fields: ClassVar[tuple[OperandField, ...]] = ()
    attr_fields: ClassVar[dict[str, AttrField[Any]]] = {}
    explicit_types: ClassVar[bool] = False
    """Whether result types are given (`types=`) instead of inferred."""
    pure: ClassVar[bool] = True
    """Whether the op may be removed when nothing uses its results."""

    def __init__(
        self,
        *,
        origin: Origin | None = None,
        types: Sequence[TensorType] | None = None,
        notes: Mapping[str, Attr] | None = None,
        **fields: Any,
    ) -> None:
        self.origin = origin or Origin()
        self.notes: dict[str, Attr] = dict(notes or {})
        """Annotations that no op's meaning depends on (cost, places); printed as `!{...}`."""
        self.results: list[Result] = []
        self.operands: list[Value | None] = []
        self.attrs: dict[str, Attr] = {}
        for slot in self.operand_fields:
            given = fields.pop(slot.name, () if slot.variadic else None)
            if slot.variadic and not isinstance(given, (list, tuple)):
                raise VerifyError(f"{self.name} operand '{slot.name}' must be a list of values, not {_shown(given)}")
            self.operands.extend(cast("Iterable[Value | None]", given if slot.variadic else (given,)))
        for name, attr in self.attr_fields.items():
            if name not in fields and attr.required:
                raise VerifyError(f"{self.name} needs attribute '{name}'")
            given = fields.pop(name, attr.default)
            try:
                self.attrs[name] = attr.convert(given)
            except (ValueError, TypeError, OverflowError) as error:
                raise VerifyError(f"{self.name} attribute '{name}' {error}") from None
        if fields:
            raise VerifyError(f"{self.name} has no operand or attribute '{next(iter(fields))}'")
        self.check_operands()
        self.normalise()
        self.results = [Result(self, i, t) for i, t in enumerate(types or ())]
        inferred = self.inferred_types()
        if inferred is not None:
            self.results = [Result(self, i, t) for i, t in enumerate(inferred)]

    def __init_subclass__(cls) -> None:
        named: dict[str, OperandField] = {}
        attrs: dict[str, AttrField[Any]] = {}
        for base in reversed(cls.__mro__):
            for name, declared in vars(base).items():
                if isinstance(declared, OperandField):
                    # a subclass that declares it again keeps its place
                    named[name] = declared
                elif isinstance(declared, AttrField):
                    attrs[name] = cast(AttrField[Any], declared)
        slots = tuple(named.values())
        if any(slot.variadic for slot in slots[:-1]):
            raise TypeError(f"{cls.__name__}: a variadic operand must be the last")
        cls.operand_fields = slots
        cls.attr_fields = attrs

    @classmethod
    def operand_index(cls, name: str) -> int:
        """Position of an operand field."""
        for index, slot in enumerate(cls.operand_fields):
            if slot.name == name:
                return index
        raise KeyError(name)

    def check_attrs(self) -> None:
        """Check that the attributes are in their stored form, whoever wrote them; raises VerifyError."""
        for name, attr in self.attr_fields.items():
            try:
                fits = attr.convert(self.attrs[name]) == self.attrs[name]
            except (ValueError, TypeError, OverflowError) as error:
                raise VerifyError(f"{self.name} attribute '{name}' {error}", self) from None
            if not fits:
                raise VerifyError(f"{self.name} attribute '{name}' is stored as {self.attrs[name]!r}", self)

    def check_operands(self) -> None:
        """Check the operands against their fields; raises VerifyError."""
        fixed = [slot for slot in self.operand_fields if not slot.variadic]
        if len(self.operands) < len(fixed) or (
            len(self.operands) > len(fixed) and len(fixed) == len(self.operand_fields)
        ):
            raise VerifyError(f"{self.name} takes {len(fixed)} operands, not {len(self.operands)}", self)
        for index, value in enumerate(self.operands):
            slot = self.operand_fields[min(index, len(self.operand_fields) - 1)]
            if value is None:
                if not slot.optional:
                    raise VerifyError(f"{self.name} needs operand '{slot.name}'", self)
            elif not isinstance(cast(object, value), Value):
                # without the op: what is no value cannot be shown in its line
                raise VerifyError(f"{self.name} operand '{slot.name}' must be a Value, not {_shown(value)}")
            elif complaint := slot.complaint(value):
                raise VerifyError(complaint, self)

    def inferred_types(self) -> tuple[TensorType, ...] | None:
        """What `infer` says, as a tuple; None for an op whose types are given."""
        self.verify()
        if self.explicit_types:
            return None
        inferred = self.infer()
        types = inferred if isinstance(inferred, tuple) else (inferred,)
        for type in types:
            if type.rank > DEEPEST:
                raise self.fail(f"the result has {type.rank} axes, more than {DEEPEST}")
            if type.known and type.elements() > LARGEST:
                raise self.fail(f"the result {type} has more than {LARGEST} elements")
            if type.shape.count(BATCH) > 1:
                raise self.fail(f"the result {type} would mix samples of the batch")
        return types

    def normalise(self) -> None:
        """Bring attributes that can say one thing in two ways into one form."""

    def verify(self) -> None:
        """Check what the fields cannot say; raises VerifyError. The default accepts."""

    def infer(self) -> TensorType | tuple[TensorType, ...]:
        """The result types from the operand types and attributes; raises VerifyError naming the operand."""
        raise TypeError(f"{type(self).__name__} does not define infer")

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """The meaning: one array (or None) per operand in, one array (or a tuple of them) out. numpy only."""
        raise TypeError(f"{type(self).__name__} does not define evaluate")

    def macs(self) -> int:
        """Multiply-accumulates for one sample."""
        return 0

    @classmethod
    def cases(cls) -> list[Case]:
        """Small instances that together show every attribute at work."""
        return []

    @property
    def result(self) -> Result:
        """The only result."""
        if len(self.results) != 1:
            raise VerifyError(f"{self.name} has {len(self.results)} results, not one", self)
        return self.results[0]

    @property
    def inputs(self) -> list[Value]:
        """The operands that are there."""
        return [value for value in self.operands if value is not None]

    def check_one_dtype(self) -> None:
        """Check that all operands have the dtype of the first; raises VerifyError."""
        first, *rest = [(self.operand_fields[i].name, v.type) for i, v in enumerate(self.operands) if v is not None]
        for name, type in rest:
            if type.dtype is not first[1].dtype:
                raise self.fail(f"operand '{name}' must be {first[1].dtype} as '{first[0]}' is, not {type}")

    def fail(self, message: str) -> VerifyError:
        """A VerifyError about this op, to be raised."""
        return VerifyError(message, self)

    def rebuilt(self, operands: Sequence[Value | None], *, origin: Origin | None = None, **attrs: Any) -> Op:
        """The same op over other operands, with some attributes changed; result types are inferred anew."""
        fields: dict[str, Any] = {**self.attrs, **attrs}
        for index, slot in enumerate(self.operand_fields):
            fields[slot.name] = list(operands[index:]) if slot.variadic else operands[index]
        types = [result.type for result in self.results] if self.explicit_types else None
        return type(self)(origin=origin or self.origin, types=types, notes=self.notes, **fields)


def _shown(thing: object) -> str:
    return "None" if thing is None else f"a {type(thing).__name__}"


OPS: Registry[type[Op]] = Registry("op")
OpClass = TypeVar("OpClass", bound=type[Op])


def op(name: str) -> Callable[[OpClass], OpClass]:
    """Class decorator: gives an op its name and registers it."""

    def register(cls: OpClass) -> OpClass:
        cls.name = name
        OPS.add(name, cls)
        return cls

    return register
