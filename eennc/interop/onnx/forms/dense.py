"""nn.dense: ONNX `Gemm`, or `MatMul` and `Add` where x has more than two axes."""

from __future__ import annotations

import numpy as np

from eennc.interop.onnx.activation import activated
from eennc.interop.onnx.node import TRANSPOSED, Node
from eennc.interop.onnx.registry import NotExpressible, reads, writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.add import Add
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.matmul import MatMul
from eennc.ir.ops.mul import Mul
from eennc.ir.ops.transpose import Transpose
from eennc.ir.values import Value, Weight


@reads("Gemm")
def read(node: Node) -> Value:
    """Read it: dense with a constant weight, else a product, scaled and added to."""
    a, b, c = node.input(0), node.input(1), node.optional(2)
    if not a.type.dtype.is_float:
        raise NotExpressible("integers")
    alpha, beta = node.number_attr("alpha", 1.0), node.number_attr("beta", 1.0)
    if node.attr("transA", 0):
        a = node.add(Transpose, x=a, perm=(1, 0))
    if isinstance(b, Weight) and not isinstance(a, Weight):
        weight = b if node.attr("transB", 0) else transposed(node, b)
        weight = _scaled(node, weight, alpha)
        bias = None if c is None else _bias(node, c, beta, weight.array.shape[0])
        product = node.add(Dense, x=a, weight=weight, bias=bias)
        if bias is not None:
            return product
    else:
        if node.attr("transB", 0):
            b = node.add(Transpose, x=b, perm=(1, 0))
        product = _times(node, node.add(MatMul, a=a, b=b), alpha)
    return product if c is None else node.add(Add, a=product, b=_times(node, c, beta))


def transposed(node: Node, weight: Weight) -> Weight:
    """A constant [in, out] as [out, in]; a constant that several nodes take is transposed once."""
    return node.derived(weight, TRANSPOSED, lambda array: np.ascontiguousarray(array.T))


def _scaled(node: Node, weight: Weight, factor: float) -> Weight:
    if factor == 1.0:
        return weight
    return node.derived(weight, f"times_{factor!r}", lambda array: array * array.dtype.type(factor))


def _bias(node: Node, c: Value, beta: float, out: int) -> Weight | None:
    """C as a vector [out]; None where it is not constant or differs between rows."""
    if not isinstance(c, Weight):
        return None
    if c.array.size != 1 and (c.array.size != out or c.array.shape[-1] != out):
        return None
    if c.type.shape != (out,):
        c = node.derived(c, "row", lambda array: np.broadcast_to(array.reshape(-1), (out,)).copy())
    return _scaled(node, c, beta)


def _times(node: Node, value: Value, factor: float) -> Value:
    if factor == 1.0:
        return value
    return node.add(Mul, a=value, b=node.make_weight("factor", np.array(factor, value.type.dtype.numpy)))


@writes(Dense)
def write(op: Dense, emit: Emitter) -> str:
    """Write it."""
    if op.x.type.rank == 2:
        y = emit.node("Gemm", [op.x, op.weight, op.bias], transB=1)
    else:
        weight = op.operands[1]
        assert isinstance(weight, Weight)  # the op's field asks for it
        y = emit.node("MatMul", [op.x, emit.constant(weight.array.T, weight.name)])
        if op.bias is not None:
            y = emit.node("Add", [y, op.bias])
    return activated(emit, y, op.activation, op.x.type.dtype)
