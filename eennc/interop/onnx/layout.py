"""Feature maps whose channels are last, around ONNX operators that want them first."""

from __future__ import annotations

from eennc.interop.onnx.writer import Emitter
from eennc.ir.types import Layout, TensorType
from eennc.ir.values import Value


def channels_first(emit: Emitter, value: Value) -> str:
    """The name of the value, or of a transpose of it."""
    name = emit.name_of(value)
    if value.type.layout is not Layout.CHANNELS_LAST:
        return name
    last = value.type.rank - 1
    return emit.node("Transpose", [name], hint=f"{name}.first", perm=[0, last, *range(1, last)])


def laid_out(emit: Emitter, name: str, type: TensorType) -> str:
    """What is channels-first under `name`, in the layout of `type`."""
    if type.layout is not Layout.CHANNELS_LAST:
        return name
    return emit.node("Transpose", [name], hint=f"{name}.last", perm=[0, *range(2, type.rank), 1])
