"""onnx.opaque: the node as it came, its names exchanged."""

from __future__ import annotations

from eennc.interop.onnx.payload import unpack
from eennc.interop.onnx.registry import writes
from eennc.interop.onnx.writer import Emitter
from eennc.ir.ops.opaque import Opaque


@writes(Opaque)
def write(op: Opaque, emit: Emitter) -> list[str]:
    """Write it; names inside its subgraphs are made unique in the model."""
    node, domains = unpack(op.node)
    for domain, version in domains.items():
        emit.need_domain(domain, version)
    given = dict(zip(op.names, (emit.name_of(value) for value in op.inputs), strict=True))
    return emit.copied(node, given)
