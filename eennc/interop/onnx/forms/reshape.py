"""nn.reshape, q.reshape: ONNX `Reshape` with a constant shape. Other shapes give shape.reshape."""

from __future__ import annotations

import math

from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import NotExpressible, reads, writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.dynamic_reshape import DynamicReshape
from eennc.ir.ops.q_reshape import QReshape
from eennc.ir.ops.reshape import Reshape
from eennc.ir.shapes import known_shape
from eennc.ir.types import BATCH, Dim
from eennc.ir.values import Value, Weight


@reads("Reshape")
def read(node: Node) -> Value:
    """Read it."""
    x, shape = node.input(0), node.input(1)
    zero_is_zero = bool(node.attr("allowzero", 0))
    if isinstance(shape, Weight):
        sizes = shape.array.reshape(-1).tolist()
        return node.add(Reshape, x=x, shape=static_shape(x.type.shape, sizes, zero_is_zero))
    if zero_is_zero:
        raise NotExpressible("a computed shape where 0 means 0")
    known = known_shape(shape)
    type = node.output_types[0]
    if known is not None:
        dims = resolved(x.type.shape, known)
        if dims is not None:
            return node.add(DynamicReshape, x=x, shape=shape, types=[x.type.with_shape(dims)])
    if type is None:
        raise NotExpressible("the resulting shape is not known")
    return node.add(DynamicReshape, x=x, shape=shape, types=[type])


def static_shape(dims: tuple[Dim, ...], sizes: list[int], zero_is_zero: bool) -> tuple[int, ...]:
    """The entries without 0 (which takes x's size): the batch becomes the -1, and a -1 beside it its number."""
    if zero_is_zero and 0 in sizes:
        raise NotExpressible("an empty result")
    if any(size == 0 and index >= len(dims) for index, size in enumerate(sizes)):
        raise NotExpressible("a 0 beyond the axes of x")
    taken: list[Dim] = [dims[index] if size == 0 else size for index, size in enumerate(sizes)]
    if BATCH in taken and -1 in taken:
        found = resolved(dims, tuple(taken))
        if found is None:
            raise NotExpressible("-1 beside a free axis of unknown size")
        taken = list(found)
    shape = [-1 if isinstance(dim, str) else dim for dim in taken]
    return tuple(shape)


def resolved(dims: tuple[Dim, ...], wanted: tuple[Dim, ...]) -> tuple[Dim, ...] | None:
    """The shape `wanted` with its -1 and zeros worked out for an x of shape `dims`; None where this is not possible.

    The batch must be in both or in neither (then a -1 stands for it).
    """
    if any(dim == 0 and index >= len(dims) for index, dim in enumerate(wanted)):
        return None
    wanted = tuple(dims[index] if dim == 0 else dim for index, dim in enumerate(wanted))
    if "?" in dims or "?" in wanted:
        return None
    if -1 not in wanted:
        return wanted
    have = math.prod(dim for dim in dims if isinstance(dim, int))
    take = math.prod(dim for dim in wanted if isinstance(dim, int) and dim != -1)
    left = dims.count(BATCH) - wanted.count(BATCH)
    if wanted.count(-1) > 1 or take == 0 or have % take or left not in (0, 1) or (left and have != take):
        return None
    free: Dim = BATCH if left else have // take
    return tuple(free if dim == -1 else dim for dim in wanted)


@writes(Reshape, QReshape)
def write(op: Reshape, emit: Emitter) -> str:
    """Write it."""
    return emit.node("Reshape", [op.x, emit.integers(op.shape, "shape")])
