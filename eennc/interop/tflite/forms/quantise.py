"""q.quantize, q.dequantize, q.requantize: TFLite `QUANTIZE`, `DEQUANTIZE`, `RELU`, `RELU6`."""

from __future__ import annotations

from eennc.interop.tflite.builder import Subgraph, label
from eennc.interop.tflite.registry import writes
from eennc.ir.ops.q_dequantize import Dequantize
from eennc.ir.ops.q_quantize import Quantize
from eennc.ir.ops.q_requantize import Requantize


@writes(Quantize)
def quantize(op: Quantize, emit: Subgraph) -> None:
    """Write it."""
    emit.operator("QUANTIZE", [emit.of(op.x)], emit.results(op), ("QuantizeOptions", {}))


@writes(Dequantize)
def dequantize(op: Dequantize, emit: Subgraph) -> None:
    """Write it."""
    emit.operator("DEQUANTIZE", [emit.of(op.x)], emit.results(op), ("DequantizeOptions", {}), version=2)


@writes(Requantize)
def requantize(op: Requantize, emit: Subgraph) -> None:
    """Write it. `RELU` brings its operand to its own scale; `RELU6` does so only in some runtimes."""
    made = emit.results(op)
    if op.activation == "relu":
        emit.operator("RELU", [emit.of(op.x)], made, version=2)
        return
    brought = made if op.activation == "none" else [emit.tensor(op.result.type, f"{label(op)}/requantized")]
    emit.operator("QUANTIZE", [emit.of(op.x)], brought, ("QuantizeOptions", {}), version=2)
    if op.activation == "relu6":
        emit.operator("RELU6", brought, made, version=2)
