"""The TFLite backend: one .tflite with the exits inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from eennc.backends.base import Backend, Emitted, backend, check_batch
from eennc.ir.graph import Graph, Module
from eennc.ir.ops.opaque import Opaque
from eennc.ir.rules import Numbers
from eennc.passes.base import Pass
from eennc.passes.exits.form_segments import FormSegments
from eennc.passes.layout.channels_last import ChannelsLast
from eennc.support.diagnostics import UserError


@backend
@dataclass(frozen=True)
class TfliteBackend(Backend):
    """One .tflite for one sample at a time, float or int8, with the exits as `IF`: what an exit skips is not run.

    Outputs: `scores` [1, classes], which mean what the model's own output meant, and `exit` int32 [1], the exit that
    answered. The base network lies beside it as base.tflite. For int8 put calibrate and quantize-int8 among the passes.
    """

    name: ClassVar[str] = "tflite"
    lowering: ClassVar[tuple[Pass, ...]] = (ChannelsLast(), FormSegments())
    rules: ClassVar[Mapping[Numbers, Sequence[str]]] = {
        "float": ("max_probability", "margin", "patience", "entropy", "class_thresholds"),
        "int8": ("max_probability", "margin", "patience", "class_thresholds"),
    }

    io: Literal["float", "int8"] = "float"
    """What a quantised network takes and gives: floats, or the integers themselves."""
    stages: bool = False
    """Whether to write each segment and each head as a file of its own too, for runtimes and compilers without `IF`."""

    def check(self, module: Module, *, integers: bool) -> None:
        """Raises UserError for a baked batch other than 1, for an operator that TFLite has no form for, for operating
        points, and for `io` of integers where the network is none.
        """
        from eennc.interop.tflite.registry import objection

        check_batch(module)
        if module.attributes.get("points"):
            raise UserError(
                "the tflite backend writes one operating point: no input of a .tflite has a default, so there is none "
                "to choose another by",
                hint="leave `points` of solve-thresholds away, or compile with -b onnx or -b cortexm",
            )
        if self.io == "int8" and not integers:
            raise UserError(
                "tflite{io=int8} is for quantised networks", hint="put calibrate and quantize-int8 among the passes"
            )
        for op in module.ops():
            if not op.name.startswith("ee.") and (found := objection(op)):
                name = f"ONNX {op.op_type}" if isinstance(op, Opaque) else op.name
                raise UserError(f"the tflite backend cannot write {name} ({op.origin}): {found}")

    def emit(self, module: Module, base: Graph, folder: Path) -> Emitted:
        """Write model.tflite and base.tflite, and the stages' files. Raises as `check` does."""
        from eennc.backends.tflite.emission import write_base, write_model, write_stages

        self.check(module, integers=module.main.returns[0].type.quant is not None)
        write_model(module, folder / "model.tflite", io=self.io)
        write_base(base, folder / "base.tflite", io=self.io)
        if self.stages:
            write_stages(module, folder)
        return Emitted("model.tflite", "base.tflite", 1)
