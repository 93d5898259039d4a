"""nn.identity: ONNX `Identity`, and `Dropout` at inference."""

from __future__ import annotations

from eennc.interop.onnx.node import Node
from eennc.interop.onnx.registry import NotExpressible, reads, writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.identity import Identity
from eennc.ir.values import Value


@reads("Identity")
def read(node: Node) -> Value:
    """Read it."""
    return node.add(Identity, x=node.input(0))


@reads("Dropout")
def read_dropout(node: Node) -> Value:
    """Read a dropout that drops nothing."""
    node.only_first_output()
    if node.scalar(2, 0.0):
        raise NotExpressible("training mode")
    return node.add(Identity, x=node.input(0))


@writes(Identity)
def write(op: Identity, emit: Emitter) -> str:
    """Write it."""
    return emit.node("Identity", [op.x])
