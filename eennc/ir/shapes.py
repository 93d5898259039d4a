"""Symbolic values of integer tensors that describe shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from eennc.ir.op import Op
from eennc.ir.types import UNKNOWN, Dim, DType
from eennc.ir.values import Result, Value, Weight

LONGEST = 64
"""Entries above which an integer tensor is taken for data, not for a shape."""

Known = tuple[Dim, ...]


def known_shape(value: Value) -> Known | None:
    """What an integer tensor of rank 0 or 1 holds, flat: ints, "N" for the batch, "?" for an entry not known.

    None where it is not known at all. Follows shape.of, gather, slice, concat, reshape, squeeze, unsqueeze, cast,
    identity, and add / sub / mul / div of known ints back to weights.
    """
    seen: dict[Value, Known | None] = {}
    # a stack of our own: a model may chain more ops than Python's has room for
    waiting = [value]
    while waiting:
        here = waiting[-1]
        parts = [part for part in _parts(here) if part not in seen]
        if parts and here not in seen:
            waiting.extend(parts)
            continue
        waiting.pop()
        if here not in seen:
            seen[here] = _known(here, seen)
    return seen[value]


def _parts(value: Value) -> list[Value]:
    """The values that must be known first."""
    follows = isinstance(value, Result) and value.op.name in _RULES and _may_be_shape(value)
    return value.op.inputs if follows and isinstance(value, Result) else []


def _may_be_shape(value: Value) -> bool:
    return value.type.rank <= 1 and not value.type.dtype.is_float


def _known(value: Value, seen: dict[Value, Known | None]) -> Known | None:
    if not _may_be_shape(value):
        return None
    if isinstance(value, Weight):
        return tuple(int(item) for item in value.array.reshape(-1)) if value.array.size <= LONGEST else None
    if not isinstance(value, Result):
        return None
    op = value.op
    if op.name == "shape.of":
        return cast(Value, op.operands[0]).type.shape
    rule = _RULES.get(op.name)
    if rule is None:
        return None
    parts = [seen[part] for part in op.inputs]
    if any(part is None for part in parts):
        return None
    return rule(op, cast("list[Known]", parts))


def _same(op: Op, parts: list[Known]) -> Known | None:
    return parts[0]


def _gather(op: Op, parts: list[Known]) -> Known | None:
    x, indices = parts
    if not all(isinstance(i, int) and -len(x) <= i < len(x) for i in indices):
        return None
    return tuple(x[int(i)] for i in indices)


def _concat(op: Op, parts: list[Known]) -> Known | None:
    return tuple(dim for part in parts for dim in part)


def _cast(op: Op, parts: list[Known]) -> Known | None:
    # narrower types may wrap
    return parts[0] if op.results[0].type.dtype in (DType.I64, DType.I32) else None


def _slice(op: Op, parts: list[Known]) -> Known | None:
    ranges = cast("dict[int, range]", op.ranges())  # type: ignore[attr-defined]  # nn.slice has it
    return tuple(parts[0][i] for i in ranges[0]) if 0 in ranges else parts[0]


def _arithmetic(function: Callable[[int, int], int | None]) -> Callable[[Op, list[Known]], Known | None]:
    def rule(op: Op, parts: list[Known]) -> Known | None:
        a, b = parts
        length = max(len(a), len(b))
        if not a or not b or len(a) not in (1, length) or len(b) not in (1, length):
            return None
        pairs = zip(a * (length // len(a)), b * (length // len(b)), strict=True)
        found: list[Dim] = []
        for x, y in pairs:
            result = function(x, y) if isinstance(x, int) and isinstance(y, int) else None
            found.append(UNKNOWN if result is None else result)
        return tuple(found)

    return rule


_RULES: dict[str, Callable[[Op, list[Known]], Known | None]] = {
    "nn.identity": _same,
    "nn.cast": _cast,
    "nn.reshape": _same,
    "nn.squeeze": _same,
    "nn.unsqueeze": _same,
    "nn.gather": _gather,
    "nn.concat": _concat,
    "nn.slice": _slice,
    "nn.add": _arithmetic(lambda x, y: x + y),
    "nn.sub": _arithmetic(lambda x, y: x - y),
    "nn.mul": _arithmetic(lambda x, y: x * y),
    "nn.div": _arithmetic(lambda x, y: x // y if y and x >= 0 and y > 0 else None),
}
