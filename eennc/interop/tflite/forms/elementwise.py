"""Sums, differences and products: TFLite `ADD`, `SUB`, `MUL`, `DIV`."""

from __future__ import annotations

from eennc.interop.tflite.activation import fused
from eennc.interop.tflite.builder import Subgraph
from eennc.interop.tflite.registry import writes
from eennc.ir.elementwise import Elementwise
from eennc.ir.ops.add import Add
from eennc.ir.ops.div import Div
from eennc.ir.ops.mul import Mul
from eennc.ir.ops.q_add import QAdd
from eennc.ir.ops.q_mul import QMul
from eennc.ir.ops.q_sub import QSub
from eennc.ir.ops.sub import Sub
from eennc.ir.quantised_elementwise import QuantisedElementwise

_KINDS = {"add": "ADD", "sub": "SUB", "mul": "MUL", "div": "DIV"}


@writes(Add, Sub, Mul, Div, QAdd, QSub, QMul)
def write(op: Elementwise | QuantisedElementwise, emit: Subgraph) -> None:
    """Write it."""
    kind = _KINDS[op.name.partition(".")[2]]
    activation = op.activation if isinstance(op, QuantisedElementwise) else "none"
    options = {"fusedActivationFunction": fused(activation)}
    version = 2 if isinstance(op, QuantisedElementwise) else 1
    operands = [emit.of(op.a), emit.of(op.b)]
    emit.operator(kind, operands, emit.results(op), (f"{kind.title()}Options", options), version=version)
