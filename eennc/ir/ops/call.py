"""ee.call."""

from __future__ import annotations

from eennc.ir.fields import tensors, text
from eennc.ir.op import Op, op


@op("ee.call")
class Call(Op):
    """Runs another graph of the module (a segment or a head) on the operands. Made by `form-segments`; the verifier
    checks the types against the callee's.
    """

    explicit_types = True

    args = tensors()
    callee = text()
