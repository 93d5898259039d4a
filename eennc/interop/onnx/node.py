"""One ONNX node while it is read: what the reading functions of `forms/` see and build with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import onnx.helper

from eennc.interop.onnx.registry import NotExpressible
from eennc.ir.op import Op, Origin
from eennc.ir.shapes import known_shape
from eennc.ir.types import Array, DType, TensorType
from eennc.ir.values import Value, Weight

FOLD_LIMIT = 1 << 16
"""An op over weights is evaluated at once if its result is no larger than its operands or than this (bytes)."""


TRANSPOSED = "transposed"
"""What a weight derived from another by transposing is called."""


class Derived:
    """The weights that an import makes from others: names given once, each weight made once."""

    def __init__(self, taken: Sequence[str]) -> None:
        self._taken = set(taken)
        self._made: dict[tuple[Weight, str], Weight] = {}
        self.scales: dict[Weight, Array] = {}
        """Of weights that came as symmetric integers: float32, one, or along one axis with ones for the others."""

    def weight(self, source: Weight, suffix: str, make: Callable[[Array], Array]) -> Weight:
        """The weight called `<source>.<suffix>`."""
        key = (source, suffix)
        if key not in self._made:
            self._made[key] = Weight(self.fresh(f"{source.name}.{suffix}"), make(source.array))
            if source in self.scales and suffix == TRANSPOSED:
                self.scales[self._made[key]] = self.scales[source].T
        return self._made[key]

    def fresh(self, name: str) -> str:
        """`name`, or `name.1`, `name.2`, ... where it is taken."""
        found, number = name, 0
        while found in self._taken:
            number += 1
            found = f"{name}.{number}"
        self._taken.add(found)
        return found


class Node:
    """An ONNX node of the default domain at the internal opset, with its operands in the IR.

    `inputs` has None for an input left out; `output_types` is what ONNX's shape inference says (None: nothing);
    `used` says which outputs something takes, `takers` what kinds of nodes take the first, "" where the model returns
    it; `ops` collects what the reading adds.
    """

    def __init__(
        self,
        *,
        inputs: Sequence[Value | None],
        attrs: Mapping[str, Any],
        outputs: Sequence[str],
        output_types: Sequence[TensorType | None],
        used: Sequence[bool],
        takers: Sequence[str],
        origin: Origin,
        derived: Derived,
    ) -> None:
        self.inputs = inputs
        self.output_types = output_types
        self.takers = takers
        self.origin = origin
        self.ops: list[Op] = []
        self._attrs = attrs
        self._outputs = outputs
        self._used = used
        self._derived = derived

    def input(self, index: int) -> Value:
        """An input that must be there."""
        value = self.optional(index)
        if value is None:
            raise NotExpressible(f"input {index} is left out")
        return value

    def optional(self, index: int) -> Value | None:
        """An input, or None where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def weight(self, index: int) -> Weight:
        """An input that must be constant."""
        value = self.input(index)
        if not isinstance(value, Weight):
            raise NotExpressible(f"input {index} is not constant")
        return value

    def optional_weight(self, index: int) -> Weight | None:
        """An input that must be constant where it is there."""
        return None if self.optional(index) is None else self.weight(index)

    def integers(self, index: int) -> tuple[int, ...] | None:
        """The entries of an integer input known now, constant or computed from shapes; None where it is left out."""
        value = self.optional(index)
        if value is None:
            return None
        known = known_shape(value) if not isinstance(value, Weight) else value.array.reshape(-1).tolist()
        if known is None or not all(isinstance(item, int) for item in known):
            raise NotExpressible(f"input {index} is not constant")
        return cast(tuple[int, ...], tuple(known))

    def scalar(self, index: int, default: float) -> float:
        """The number in a constant input of one element; `default` where it is left out."""
        weight = self.optional_weight(index)
        if weight is None:
            return default
        if weight.array.size != 1:
            raise NotExpressible(f"input {index} is not a scalar")
        return shortest(weight.array.reshape(-1)[0])

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute of the node."""
        return self._attrs.get(name, default)

    def number_attr(self, name: str, default: float) -> float:
        """A float attribute."""
        return shortest(np.float32(self._attrs.get(name, default)))

    def only_first_output(self) -> None:
        """The form holds only while nothing takes the other outputs."""
        if any(self._used[1:]):
            raise NotExpressible("an output besides the first is used")

    def make_weight(self, name: str, array: Array) -> Weight:
        """A new weight, its name made unique."""
        return Weight(self._derived.fresh(name), array)

    def derived(self, source: Weight, suffix: str, make: Callable[[Array], Array]) -> Weight:
        """`make` of another weight, made once however many nodes ask."""
        return self._derived.weight(source, suffix, make)

    def real_weight(self, source: Weight, array: Array, scales: Array | None) -> Weight:
        """The real numbers of a constant of integers, with their scales where those can be kept."""
        made = self.make_weight(f"{source.name}.real", array)
        if scales is not None:
            self._derived.scales[made] = scales
        return made

    def array_attr(self, name: str) -> Array | None:
        """A tensor attribute, or None where it is left out."""
        tensor = self._attrs.get(name)
        try:
            return None if tensor is None else np.asarray(tensor.values)
        except Exception:  # graphsurgeon trusts its input
            raise NotExpressible(f"attribute '{name}' is damaged") from None

    def add(self, op: type[Op], *, types: Sequence[TensorType] | None = None, **fields: Any) -> Value:
        """Add an op of one result; over weights alone it is evaluated, since other forms ask for constants."""
        made = op(origin=self.origin, types=types, **fields)
        folded = self._folded(made)
        if folded is not None:
            return folded
        self.ops.append(made)
        return made.result

    def _folded(self, op: Op) -> Weight | None:
        weights = [value for value in op.inputs if isinstance(value, Weight)]
        if not weights or len(weights) < len(op.inputs) or not op.result.type.known:
            return None
        if op.result.type.bytes() > max(FOLD_LIMIT, sum(weight.type.bytes() for weight in weights)):
            return None
        with np.errstate(all="ignore"):
            array: Any = op.evaluate(*(value.array if isinstance(value, Weight) else None for value in op.operands))
        return self.make_weight(self._outputs[0], np.asarray(array))


def shortest(number: Any) -> float:
    """The shortest decimal that is this number in its dtype: 1e-05, not 9.999999747378752e-06."""
    return float(str(number)) if number.dtype.kind == "f" else float(number)


def axes_of(given: Sequence[int], rank: int) -> tuple[int, ...]:
    """Axes counted from the front, each once."""
    axes = tuple(sorted({axis + rank if axis < 0 else axis for axis in given}))
    if any(not 0 <= axis < rank for axis in axes):
        raise NotExpressible(f"an axis of {list(given)} is outside of rank {rank}")
    return axes


def ir_dtype(code: int) -> DType:
    """The DType of an ONNX element type in an attribute."""
    try:
        return DType.of(onnx.helper.tensor_dtype_to_np_dtype(code))
    except (ValueError, KeyError, TypeError):
        raise NotExpressible(f"element type {code} is not one of the IR's") from None
