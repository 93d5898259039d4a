"""Sums and products of two tensors."""

from __future__ import annotations

from collections.abc import Sequence

from eennc.backends.cortexm.form import Form, computes
from eennc.backends.cortexm.kernels.copies import AXES, strides_of
from eennc.backends.cortexm.writer import Writer
from eennc.ir.elementwise import Elementwise
from eennc.ir.fixed_point import quantise_multiplier
from eennc.ir.ops.add import Add
from eennc.ir.ops.div import Div
from eennc.ir.ops.mul import Mul
from eennc.ir.ops.q_add import QAdd
from eennc.ir.ops.q_mul import QMul
from eennc.ir.ops.q_sub import QSub
from eennc.ir.ops.sub import Sub
from eennc.ir.quantised import limits
from eennc.ir.quantised_elementwise import QuantisedSum
from eennc.ir.types import DType, TensorType
from eennc.ir.values import Weight

LARGEST_SHIFT = 14
"""Products of two int8 have 16 bits."""


def broadcast_fields(a: TensorType, b: TensorType, y: TensorType) -> dict[str, object] | None:
    """The fields of eennc_broadcast_t; None where the kernels have too few loops."""
    shape = y.concrete(1)
    merged: list[tuple[int, int, int]] = []
    for size, x, z in zip(shape, _steps(a, shape), _steps(b, shape), strict=True):
        if size == 1:
            continue
        if merged and merged[-1][1] == size * x and merged[-1][2] == size * z:
            merged[-1] = (merged[-1][0] * size, x, z)
        else:
            merged.append((size, x, z))
    if len(merged) > AXES:
        return None
    whole = [*[(1, 0, 0)] * (AXES - len(merged)), *merged]
    return {
        "size": [size for size, _, _ in whole],
        "a_stride": [x for _, x, _ in whole],
        "b_stride": [z for _, _, z in whole],
    }


def _steps(type: TensorType, shape: Sequence[int]) -> list[int]:
    """Elements from one entry of each axis of the result to the next, 0 where it repeats."""
    mine = [1] * (len(shape) - type.rank) + list(type.concrete(1))
    return [0 if size == 1 else step for size, step in zip(mine, strides_of(mine), strict=True)]


def written_over(op: Form) -> tuple[int, ...]:
    """Operands of the result's shape."""
    shape = op.op.result.type.concrete(1)
    operands = enumerate(op.op.operands)
    return tuple(i for i, x in operands if not isinstance(x, Weight) and x.type.concrete(1) == shape)


class BinaryForm(Form):
    """Two operands that broadcast."""

    def objection(self) -> str | None:
        """Too many axes."""
        op = self.op
        fields = broadcast_fields(op.a.type, op.b.type, op.result.type)
        return f"it broadcasts over more than {AXES} axes" if fields is None else None

    def in_place(self) -> tuple[int, ...]:
        """Either operand, where it does not broadcast."""
        return written_over(self)


@computes(QAdd, QSub)
class QSumForm(BinaryForm):
    """eennc_add_s8."""

    op: QuantisedSum

    def write(self, to: Writer) -> None:
        """Both operands are brought to one scale."""
        op = self.op
        a, b, y = op.quants()
        (m, s), (n, t), (k, u) = (quantise_multiplier(factor) for factor in op.factors())
        low, high = limits(y, op.activation)
        fields = {
            "shape": broadcast_fields(op.a.type, op.b.type, op.result.type),
            "a_multiplier": m,
            "b_multiplier": n,
            "multiplier": k,
            "a_shift": s,
            "b_shift": t,
            "shift": u,
            "a_zero_point": a.zero_point,
            "b_zero_point": b.zero_point,
            "zero_point": y.zero_point,
            "low": low,
            "high": high,
            "sign": op.sign,
        }
        to.call("eennc_add_s8", to.description("eennc_add_s8_t", fields), to.at(op.a), to.at(op.b), to.at(op.result))


@computes(QMul)
class QMulForm(BinaryForm):
    """eennc_mul_s8."""

    op: QMul

    def objection(self) -> str | None:
        """A factor so large that a product would not fit."""
        if quantise_multiplier(self.op.factor())[1] > LARGEST_SHIFT:
            return "its result's scale is too fine for the product"
        return super().objection()

    def write(self, to: Writer) -> None:
        """One factor."""
        op = self.op
        a, b, y = op.quants()
        multiplier, shift = quantise_multiplier(op.factor())
        low, high = limits(y, op.activation)
        fields = {
            "shape": broadcast_fields(op.a.type, op.b.type, op.result.type),
            "multiplier": multiplier,
            "shift": shift,
            "a_zero_point": a.zero_point,
            "b_zero_point": b.zero_point,
            "zero_point": y.zero_point,
            "low": low,
            "high": high,
        }
        to.call("eennc_mul_s8", to.description("eennc_mul_s8_t", fields), to.at(op.a), to.at(op.b), to.at(op.result))


_OPERATIONS = {"nn.add": "EENNC_ADD", "nn.sub": "EENNC_SUBTRACT", "nn.mul": "EENNC_MULTIPLY", "nn.div": "EENNC_DIVIDE"}


@computes(Add, Sub, Mul, Div)
class FloatBinaryForm(BinaryForm):
    """eennc_binary_f32."""

    op: Elementwise

    def objection(self) -> str | None:
        """Too many axes, or other numbers."""
        return only_floats(self) or super().objection()

    def write(self, to: Writer) -> None:
        """The operation is a number."""
        op = self.op
        fields = {
            "shape": broadcast_fields(op.a.type, op.b.type, op.result.type),
            "operation": _OPERATIONS[op.name],
        }
        described = to.description("eennc_binary_f32_t", fields)
        to.call("eennc_binary_f32", described, to.at(op.a), to.at(op.b), to.at(op.result))


def only_floats(form: Form) -> str | None:
    """The objection to other numbers than float32."""
    type = form.op.result.type
    return None if type.dtype is DType.F32 else f"its kernel is for float32, not {type.dtype}"
