"""shape.reshape: ONNX `Reshape` with a computed shape. It is read in `reshape.py`."""

from __future__ import annotations

from eennc.interop.onnx.registry import writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.dynamic_reshape import DynamicReshape


@writes(DynamicReshape)
def write(op: DynamicReshape, emit: Emitter) -> str:
    """Write it."""
    return emit.node("Reshape", [op.x, op.shape])
