"""onnx.opaque."""

from __future__ import annotations

from eennc.ir.fields import payload, strings, tensors, text
from eennc.ir.op import Op, op

WHY = "why"
"""The note that says why the node has no op of its own."""


@op("onnx.opaque")
class Opaque(Op):
    """An ONNX operator that the IR does not know, kept whole.

    `node` is its serialised NodeProto. `inputs` are its inputs followed by the outer values that its subgraphs
    capture; `names` are the names that `node` knows them by, in the same order, and the node's own output names give
    the results. Exits go around it, onnxruntime evaluates it, the ONNX backend emits it unchanged.
    """

    explicit_types = True

    operands_in = tensors()
    op_type = text()
    names = strings()
    node = payload()
