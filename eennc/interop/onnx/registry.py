"""Where the forms register: reading functions by ONNX operator, writing functions by op."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from eennc.ir.op import Op
from eennc.ir.values import Value
from eennc.support.registry import Registry, import_folder

if TYPE_CHECKING:
    from eennc.interop.onnx.node import Node
    from eennc.interop.onnx.writer import Emitter

Reading = Callable[["Node"], "Value | Sequence[Value]"]
"""From an ONNX node to the values of its outputs. Raises `NotExpressible` (or VerifyError from the op that it makes)
where the node has no form in the IR; the node then stays opaque."""
Writing = Callable[[Any, "Emitter"], str | Sequence[str]]
"""From an op to ONNX nodes; returns the names of the op's results."""

READINGS: Registry[Reading] = Registry("ONNX reading")
WRITINGS: Registry[Writing] = Registry("ONNX writing")

AnyReading = TypeVar("AnyReading", bound=Reading)
AnyOp = TypeVar("AnyOp", bound=Op)


class NotExpressible(Exception):  # noqa: N818 - a finding, not an error
    """The IR has no op for this form of the node."""


def reads(*op_types: str) -> Callable[[AnyReading], AnyReading]:
    """Decorator: the function reads these operators of the default ONNX domain."""

    def register(reading: AnyReading) -> AnyReading:
        for op_type in op_types:
            READINGS.add(op_type, reading)
        return reading

    return register


def writes(
    *ops: type[AnyOp],
) -> Callable[[Callable[[AnyOp, Emitter], str | Sequence[str]]], Callable[[AnyOp, Emitter], str | Sequence[str]]]:
    """Decorator: the function writes these ops."""

    def register(
        writing: Callable[[AnyOp, Emitter], str | Sequence[str]],
    ) -> Callable[[AnyOp, Emitter], str | Sequence[str]]:
        for op in ops:
            WRITINGS.add(op.name, cast(Writing, writing))
        return writing

    return register


@functools.cache
def load_forms() -> None:
    """Import every form, so that it registers itself."""
    from eennc.interop.onnx import forms  # the forms import this module

    import_folder(forms)
