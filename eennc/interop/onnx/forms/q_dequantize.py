"""q.dequantize: ONNX `DequantizeLinear`. Constants become floats that keep their scales, where these are symmetric."""

from __future__ import annotations

import numpy as np

from eennc.interop.onnx.forms.q_quantize import along, parameters, single
from eennc.interop.onnx.node import Node
from eennc.interop.onnx.qdq import dequantised
from eennc.interop.onnx.registry import NotExpressible, reads, writes
from eennc.interop.onnx.writer import OFFSET, Emitter
from eennc.ir.ops.cast import Cast
from eennc.ir.ops.mul import Mul
from eennc.ir.ops.q_dequantize import Dequantize
from eennc.ir.ops.q_quantize import Quantize
from eennc.ir.ops.sub import Sub
from eennc.ir.types import DType
from eennc.ir.values import Result, Value, Weight
from eennc.support.diagnostics import UserError


@reads("DequantizeLinear")
def read(node: Node) -> Value:
    """Read it: of a constant, of what q.quantize makes by the same numbers, or of integers from elsewhere."""
    x = node.input(0)
    if isinstance(x, Weight):
        return _constant(node, x)
    if isinstance(x, Result) and isinstance(x.op, Quantize):
        if (x.op.scale, x.op.zero_point) != parameters(node):
            raise UserError(f"{node.origin}: another scale or zero point than the QuantizeLinear before it has")
        made = node.add(Dequantize, x=x)
        source = x.op.x
        if isinstance(made, Result) and isinstance(source, Result):
            # the same value in the eyes of the user
            made.op.origin = source.op.origin
        return made
    zero_point = node.optional_weight(2)
    real = node.add(Cast, x=x, to="f32")
    if zero_point is not None and zero_point.array.any():
        shift = node.derived(zero_point, "real", lambda array: single(array).astype(np.float32))
        real = node.add(Sub, a=real, b=shift)
    return node.add(Mul, a=real, b=node.derived(node.weight(1), "scale", single))


def _constant(node: Node, weight: Weight) -> Value:
    """The real numbers; scale and zero point are for all, or along an axis."""
    scale, given = node.weight(1).array, node.optional_weight(2)
    zero = np.zeros_like(scale, weight.array.dtype) if given is None else given.array
    if weight.type.dtype not in (DType.I8, DType.U8, DType.I32) or scale.ndim > 1:
        raise NotExpressible(f"{weight.type}, in blocks or of another dtype")
    scale, zero = along(node, scale, weight.array.ndim), along(node, zero, weight.array.ndim)
    real = ((weight.array.astype(np.int64) - zero) * scale.astype(np.float64)).astype(np.float32)
    kept = weight.type.dtype is not DType.I32 and not (zero.astype(np.int64) - _middle(weight)).any()
    return node.real_weight(weight, real, scale.astype(np.float32) if kept else None)


def _middle(weight: Weight) -> int:
    """The zero point of symmetric integers."""
    return OFFSET if weight.type.dtype is DType.U8 else 0


@writes(Dequantize)
def write(op: Dequantize, emit: Emitter) -> str:
    """Write it."""
    return dequantised(emit, op.x)
