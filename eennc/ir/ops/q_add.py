"""q.add."""

from __future__ import annotations

from eennc.ir.op import op
from eennc.ir.quantised_elementwise import QuantisedSum


@op("q.add")
class QAdd(QuantisedSum):
    """a + b, elementwise, with numpy's broadcasting. TFLite `ADD`."""
