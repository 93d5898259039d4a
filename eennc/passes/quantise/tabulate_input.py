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
    """The tables, int8 [count, 256], and the axis they are along; None where constants differ in another way."""
    shape = argument.type.concrete(1)
    axes: set[int] = set()
    moved = False
    for op in chain:
        moved = moved or isinstance(op, (Reshape, Unsqueeze, Transpose))
        constant = _constant(op)
        if constant is not None and constant.array.size > 1:
            own = (1,) * (len(shape) - constant.array.ndim) + constant.array.shape
            axes.update(axis for axis, size in enumerate(own) if size > 1)
            if moved or op.result.type.shape != argument.type.shape:
                return None
    if len(axes) > 1 or 0 in axes:
        return None
    axis = next(iter(axes), -1)
    count = shape[axis] if axes else 1
    # one sample per byte, one entry per table
    x = np.empty((256, *([1] * (len(shape) - 1))), np.uint8)
    x[:] = np.arange(256, dtype=np.uint8).reshape(-1, *[1] * (len(shape) - 1))
    x = np.repeat(x, count, axis=axis) if axes else x
    for op in chain:
        if isinstance(op, (Reshape, Unsqueeze, Transpose)):
            continue
        constant = _constant(op)
        operands = [x if value is not constant else _squeezed(constant, bool(axes)) for value in op.operands]
        (x,) = run_op(op, operands)
    return np.ascontiguousarray(x.reshape(256, count).T), axis


def _squeezed(constant: Weight | None, kept: bool) -> Array | None:
    if constant is None:
        return None
    return constant.array if kept and constant.array.size > 1 else constant.array.reshape(())


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
