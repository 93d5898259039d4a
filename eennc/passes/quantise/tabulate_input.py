"""tabulate-input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from eennc.ir.elementwise import Elementwise
from eennc.ir.graph import Graph, Module
from eennc.ir.interpreter import run_op
from eennc.ir.op import Op
from eennc.ir.ops.cast import Cast
from eennc.ir.ops.q_quantize import Quantize
from eennc.ir.ops.q_reshape import QReshape
from eennc.ir.ops.q_table import QTable
from eennc.ir.ops.q_transpose import QTranspose
from eennc.ir.ops.reshape import Reshape
from eennc.ir.ops.transpose import Transpose
from eennc.ir.ops.unsqueeze import Unsqueeze
from eennc.ir.types import Array, DType, TensorType
from eennc.ir.values import Argument, Value, Weight
from eennc.passes.base import Context, Pass
from eennc.passes.canonicalise.walk import WeightNames


@dataclass(frozen=True)
class TabulateInput(Pass):
    """Make one table of all that is done to input bytes before they are quantised: casts, means, scales.

    Before:
        module stage quantised
        argument %x : tensor<Nx4xu8>
        weight @m : tensor<f32> = [10]
        %0 = nn.cast %x {to = "f32"} : tensor<Nx4xf32>
        %1 = nn.sub %0, @m : tensor<Nx4xf32>
        %2 = q.quantize %1 {scale = 2.0} : tensor<Nx4xi8, 2.0:0>
    After:
        module stage quantised
        weight @t : tensor<1x256xi8>
        %0 = q.table %x, @t {scale = 2.0} : tensor<Nx4xi8, 2.0:0>
    """

    ensures: ClassVar[frozenset[str]] = frozenset({"tabulated-input"})

    def run(self, module: Module, ctx: Context) -> bool:
        """Changed where the input is bytes and every step up to its quantisation is done to each by itself."""
        main = module.main
        (argument,) = main.arguments
        if argument.type.dtype is not DType.U8:
            return False
        chain = _chain(main, argument)
        if chain is None:
            return False
        found = _tables(chain, argument)
        if found is None:
            return False
        tables, axis = found
        last = chain[-1]
        assert isinstance(last, Quantize)
        weight = Weight(WeightNames(module).new("input.table"), tables)
        origin = last.origin.via(self.name)
        table = QTable(
            x=argument, tables=weight, axis=axis, scale=last.scale, zero_point=last.zero_point, origin=origin
        )
        made: list[Op] = [table]
        for op in chain[:-1]:
            moved = _moved(op, made[-1].result)
            made += [] if moved is None else [moved]
        main.rewrite({op: made if op is last else () for op in chain}, {last.result: made[-1].result})
        return True


def _chain(main: Graph, argument: Argument) -> list[Op] | None:
    """The ops from the input to its quantisation, each the only user of the one before; None where it is otherwise."""
    users = main.users()
    chain: list[Op] = []
    value: Value = argument
    while len(users.get(value, ())) == 1 and value not in main.returns:
        op = users[value][0]
        chain.append(op)
        if isinstance(op, Quantize):
            return chain
        if not (isinstance(op, (Cast, Reshape, Unsqueeze, Transpose)) or _constant(op) is not None):
            return None
        value = op.result
    return None


def _constant(op: Op) -> Weight | None:
    """What an elementwise op does to each number."""
    if not isinstance(op, Elementwise):
        return None
    constants = [value for value in (op.a, op.b) if isinstance(value, Weight)]
    return constants[0] if len(constants) == 1 else None


def _tables(chain: Sequence[Op], argument: Argument) -> tuple[Array, int] | None:
    """The tables, int8 [count, 256], and the input's axis that they are along; None where that is not all."""
    shape = argument.type.concrete(1)
    axes = _axes(chain, len(shape))
    if axes is None or len(axes) > 1 or 0 in axes:
        return None
    axis = next(iter(axes), -1)
    count = shape[axis] if axes else 1
    # one sample per byte, one entry per table
    x: Array = np.repeat(np.arange(256, dtype=np.uint8)[:, None], count, axis=1)
    for op in chain:
        if isinstance(op, (Reshape, Unsqueeze, Transpose)):
            continue
        constant = _constant(op)
        flat = None if constant is None else constant.array.reshape(-1 if constant.array.size > 1 else ())
        (x,) = run_op(op, [flat if value is constant and constant is not None else x for value in op.operands])
    return np.ascontiguousarray(x.T), axis


def _axes(chain: Sequence[Op], rank: int) -> set[int] | None:
    """The input's axes along which constants differ; None where that cannot be said."""
    origin: list[int | None] | None = list(range(rank))
    found: set[int] = set()
    for op in chain:
        if isinstance(op, Transpose) and origin is not None:
            origin = [origin[axis] for axis in op.perm]
        elif isinstance(op, Unsqueeze) and origin is not None:
            for axis in sorted(axis % op.result.type.rank for axis in op.axes):
                origin.insert(axis, None)
        elif isinstance(op, (Reshape, Transpose, Unsqueeze)):
            origin = None
        constant = _constant(op)
        if constant is None or constant.array.size == 1:
            continue
        shape = (1,) * (op.result.type.rank - constant.array.ndim) + constant.array.shape
        for axis, size in enumerate(shape):
            if size > 1:
                mine = None if origin is None else origin[axis]
                if mine is None:
                    return None
                found.add(mine)
    return found


def _moved(op: Op, value: Value) -> Op | None:
    """The same move of integers."""
    if isinstance(op, Transpose):
        return QTranspose(x=value, perm=op.perm, origin=op.origin)
    if isinstance(op, (Reshape, Unsqueeze)):
        type: TensorType = op.result.type
        shape = tuple(-1 if isinstance(dim, str) else dim for dim in type.shape)
        layout = "none" if type.layout is None else type.layout.value
        return QReshape(x=value, shape=shape, layout=layout, origin=op.origin)
    return None
