"""Ops that change how bytes are seen, and not the bytes."""

from __future__ import annotations

from eennc.backends.cortexm.form import Form, computes
from eennc.ir.ops.flatten import Flatten
from eennc.ir.ops.identity import Identity
from eennc.ir.ops.q_reshape import QReshape
from eennc.ir.ops.reshape import Reshape
from eennc.ir.ops.squeeze import Squeeze
from eennc.ir.ops.unsqueeze import Unsqueeze


@computes(Identity, Reshape, Flatten, Squeeze, Unsqueeze, QReshape)
class ViewForm(Form):
    """Nothing is computed."""
