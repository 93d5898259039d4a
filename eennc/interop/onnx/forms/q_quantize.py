"""q.quantize, q.dequantize, q.requantize: ONNX `QuantizeLinear`, `DequantizeLinear`, both."""

from __future__ import annotations

from eennc.interop.onnx.qdq import dequantised, quantised
from eennc.interop.onnx.registry import writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.q_dequantize import Dequantize
from eennc.ir.ops.q_quantize import Quantize
from eennc.ir.ops.q_requantize import Requantize


@writes(Quantize)
def write(op: Quantize, emit: Emitter) -> str:
    """Write it."""
    return quantised(emit, op, emit.name_of(op.x))


@writes(Dequantize)
def write_dequantize(op: Dequantize, emit: Emitter) -> str:
    """Write it."""
    return dequantised(emit, op.x)


@writes(Requantize)
def write_requantize(op: Requantize, emit: Emitter) -> str:
    """Write it."""
    return quantised(emit, op, dequantised(emit, op.x), op.activation)
