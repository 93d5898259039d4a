"""q.quantize: ONNX `QuantizeLinear`, bytes as int8."""

from __future__ import annotations

import numpy as np

from eennc.interop.onnx.node import Node, shortest
from eennc.interop.onnx.qdq import quantised
from eennc.interop.onnx.registry import NotExpressible, reads, writes
from eennc.interop.onnx.writer import OFFSET, Emitter
from eennc.ir.ops.q_quantize import Quantize
from eennc.ir.types import Array
from eennc.ir.values import Value, Weight


@reads("QuantizeLinear")
def read(node: Node) -> Value:
    """Read it, where what it makes is dequantised again and nothing else; of a constant, as ONNX means it."""
    x = node.input(0)
    if isinstance(x, Weight):
        return node.make_weight(f"{x.name}.quantised", _constant(node, x.array))
    if set(node.takers) != {"DequantizeLinear"}:
        raise NotExpressible("integers go to other operators than DequantizeLinear")
    scale, zero = parameters(node)
    return node.add(Quantize, x=x, scale=scale, zero_point=zero)


def _constant(node: Node, array: Array) -> Array:
    zero, scale = zero_point(node), along(node, node.weight(1).array, array.ndim)
    limits = np.iinfo(zero.dtype)
    steps = np.rint(array / scale) + along(node, zero, array.ndim)
    return np.clip(steps, limits.min, limits.max).astype(zero.dtype)


def along(node: Node, array: Array, rank: int) -> Array:
    """A scale or zero point, one or along the node's axis, with ones for the other axes."""
    shape = [1] * rank
    if array.size > 1:
        shape[int(node.attr("axis", 1))] = -1
    return array.reshape(shape)


def parameters(node: Node) -> tuple[float, int]:
    """Scale and zero point of a node, in int8; bytes have the same steps 128 further up."""
    scale = single(node.weight(1).array)
    zero = single(zero_point(node))
    return shortest(np.float32(scale)), int(zero) - (OFFSET if zero.dtype == np.uint8 else 0)


def zero_point(node: Node) -> Array:
    """As it is given; without one it is a byte's, or zeros along an axis. Raises NotExpressible for other dtypes."""
    given = node.optional_weight(2)
    zero: Array = np.zeros_like(node.weight(1).array, np.uint8) if given is None else given.array
    if zero.dtype.name not in ("int8", "uint8"):
        raise NotExpressible(f"{zero.dtype}")
    return zero


def single(array: Array) -> Array:
    """The only entry, rank 0."""
    if array.size != 1:
        raise NotExpressible("several scales")
    return array.reshape(())


@writes(Quantize)
def write(op: Quantize, emit: Emitter) -> str:
    """Write it."""
    return quantised(emit, op, emit.name_of(op.x))
