"""ee.candidate: a mark, nothing in ONNX."""

from __future__ import annotations

from eennc.interop.onnx.registry import writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.candidate import Candidate


@writes(Candidate)
def write(op: Candidate, emit: Emitter) -> tuple[str, ...]:
    """Write nothing."""
    return ()
