"""ee.candidate."""

from __future__ import annotations

from eennc.ir.fields import tensor, text
from eennc.ir.op import Op, op


@op("ee.candidate")
class Candidate(Op):
    """Marks a tensor behind which an exit may stand: all later work flows through it. `place` is its name for the
    user. Put there by `find-exits` (or a user's pass), taken away by `insert-exits`.
    """

    pure = False

    x = tensor()
    place = text()

    def infer(self) -> tuple[()]:
        """No result."""
        return ()

    def evaluate(self, x: object) -> tuple[()]:
        """Nothing."""
        return ()
