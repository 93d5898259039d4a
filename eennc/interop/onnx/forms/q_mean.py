"""q.mean: ONNX `GlobalAveragePool` between DequantizeLinear and QuantizeLinear."""

from __future__ import annotations

from eennc.interop.onnx.qdq import dequantised, quantised
from eennc.interop.onnx.registry import writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.q_mean import QMean


@writes(QMean)
def write(op: QMean, emit: Emitter) -> str:
    """Write it."""
    y = emit.node("GlobalAveragePool", [dequantised(emit, op.x, first=True)])
    return quantised(emit, op, y, first=True)
