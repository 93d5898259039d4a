"""nn.clip: ONNX `Clip` with constant limits."""

from __future__ import annotations

import math

from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import NotExpressible, reads, writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.clip import Clip
from eennc.ir.types import DType
from eennc.ir.values import Value


@reads("Clip")
def read(node: Node) -> Value:
    """Read it; the IR holds limits as floats."""
    if not node.input(0).type.dtype.is_float:
        raise NotExpressible("integer limits")
    return node.add(Clip, x=node.input(0), minimum=node.scalar(1, -math.inf), maximum=node.scalar(2, math.inf))


@writes(Clip)
def write(op: Clip, emit: Emitter) -> str:
    """Write it; a limit of infinity is left out."""
    return clip(emit, op.x, op.minimum, op.maximum, op.x.type.dtype)


def clip(emit: Emitter, x: Value | str, minimum: float, maximum: float, dtype: DType) -> str:
    """Write a clip."""
    limits = [
        None if math.isinf(limit) else emit.scalar(limit, dtype, name)
        for limit, name in ((minimum, "minimum"), (maximum, "maximum"))
    ]
    return emit.node("Clip", [x, *limits])
