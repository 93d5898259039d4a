"""q.add, q.sub, q.mul: ONNX `Add`, `Sub`, `Mul` between DequantizeLinear and QuantizeLinear."""

from __future__ import annotations

from eennc.interop.onnx.qdq import dequantised, quantised
from eennc.interop.onnx.registry import writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.q_add import QAdd
from eennc.ir.ops.q_mul import QMul
from eennc.ir.ops.q_sub import QSub
from eennc.ir.quantised_elementwise import QuantisedElementwise


@writes(QAdd)
def write_add(op: QAdd, emit: Emitter) -> str:
    """Write it."""
    return _write("Add", op, emit)


@writes(QSub)
def write_sub(op: QSub, emit: Emitter) -> str:
    """Write it."""
    return _write("Sub", op, emit)


@writes(QMul)
def write_mul(op: QMul, emit: Emitter) -> str:
    """Write it."""
    return _write("Mul", op, emit)


def _write(op_type: str, op: QuantisedElementwise, emit: Emitter) -> str:
    y = emit.node(op_type, [dequantised(emit, op.a), dequantised(emit, op.b)])
    return quantised(emit, op, y, op.activation)
