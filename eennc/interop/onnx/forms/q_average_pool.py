"""q.average_pool, q.mean: ONNX `AveragePool`, `GlobalAveragePool` between DequantizeLinear and QuantizeLinear."""

from __future__ import annotations

from eennc.interop.onnx.qdq import dequantised, quantised
from eennc.interop.onnx.registry import writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.q_average_pool import QAveragePool
from eennc.ir.ops.q_mean import QMean


@writes(QAveragePool)
def write(op: QAveragePool, emit: Emitter) -> str:
    """Write it."""
    y = emit.node(
        "AveragePool",
        [dequantised(emit, op.x, first=True)],
        kernel_shape=op.kernel,
        strides=op.strides or None,
        pads=op.pads or None,
        dilations=op.dilations or None,
        ceil_mode=int(op.ceil) or None,
    )
    return quantised(emit, op, y, first=True)


@writes(QMean)
def write_mean(op: QMean, emit: Emitter) -> str:
    """Write it."""
    y = emit.node("GlobalAveragePool", [dequantised(emit, op.x, first=True)])
    return quantised(emit, op, y, first=True)
