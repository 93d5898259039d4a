"""nn.cast: TFLite `CAST`, and `DEQUANTIZE` for bytes, which TFLite Micro has no cast for."""

from __future__ import annotations

from eennc.interop.tflite.builder import Subgraph
from eennc.interop.tflite.registry import writes
from eennc.ir.ops.cast import Cast
from eennc.ir.types import DType, Quant


@writes(Cast)
def write(op: Cast, emit: Subgraph) -> None:
    """Write it."""
    x = emit.of(op.x)
    if op.x.type.dtype is DType.U8 and op.result.type.dtype is DType.F32:
        emit.quantise(x, Quant(1.0, 0))
        emit.operator("DEQUANTIZE", [x], emit.results(op), ("DequantizeOptions", {}))
    else:
        emit.operator("CAST", [x], emit.results(op), ("CastOptions", {}))
