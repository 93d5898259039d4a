"""q.sub."""

from __future__ import annotations

from eennc.ir.op import op
from eennc.ir.quantised_elementwise import QuantisedSum


@op("q.sub")
class QSub(QuantisedSum):
    """a - b, elementwise, with numpy's broadcasting. TFLite `SUB`."""

    sign = -1
