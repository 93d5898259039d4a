"""q.requantize: ONNX `DequantizeLinear` and `QuantizeLinear`."""

from __future__ import annotations

from eennc.interop.onnx.qdq import dequantised, quantised
from eennc.interop.onnx.registry import writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.q_requantize import Requantize


@writes(Requantize)
def write(op: Requantize, emit: Emitter) -> str:
    """Write it."""
    return quantised(emit, op, dequantised(emit, op.x), op.activation)
