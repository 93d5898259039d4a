"""q.softmax: ONNX `Softmax` between DequantizeLinear and QuantizeLinear."""

from __future__ import annotations

from eennc.interop.onnx.qdq import dequantised, quantised
from eennc.interop.onnx.registry import writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.q_softmax import QSoftmax
from eennc.ir.types import DType


@writes(QSoftmax)
def write(op: QSoftmax, emit: Emitter) -> str:
    """Write it."""
    logits = dequantised(emit, op.x)
    if op.beta != 1:
        logits = emit.node("Mul", [logits, emit.scalar(op.beta, DType.F32, "beta")])
    return quantised(emit, op, emit.node("Softmax", [logits], axis=-1))
