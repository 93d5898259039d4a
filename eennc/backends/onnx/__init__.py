"""The ONNX backend: one model with the exits inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Le

from eennc.backends.base import Backend, Emitted, backend, check_batch
from eennc.ir.graph import Graph, Module
from eennc.ir.rules import Numbers
from eennc.passes.base import Pass
from eennc.passes.exits.form_segments import FormSegments
from eennc.passes.layout.channels_last import ChannelsLast


@backend
@dataclass(frozen=True)
class OnnxBackend(Backend):
    """One ONNX model with the exits as `If`: what an exit skips is not run.

    Outputs: `scores` [N, classes], which mean what the model's own output meant, and `exit` int64 [N], the exit that
    answered, the number of exits for the last classifier. The base network lies beside it as base.onnx.
    """

    name: ClassVar[str] = "onnx"
    lowering: ClassVar[tuple[Pass, ...]] = (ChannelsLast(networks="quantised"), FormSegments())
    rules: ClassVar[Mapping[Numbers, Sequence[str]]] = {
        "float": ("max_probability", "margin", "patience", "entropy", "class_thresholds"),
        "int8": ("max_probability", "margin", "patience", "class_thresholds"),
    }

    batch: Literal[1, "free"] = 1
    """1: nested `If`, for one sample at a time. free: each sample of a batch stops at its own exit. A model whose batch
    is baked in is always 1."""
    external_above: Annotated[int, Ge(0), Le(1_800_000_000)] = 8 << 20
    """Bytes of weights above which they go into a file beside the model. onnxruntime copies weights that are inside
    once for each level of nesting: 94 MB of them and 8 exits take 1.1 GiB, with a file beside 0.2 GiB."""

    def check(self, module: Module, *, integers: bool) -> None:
        """Raises UserError for a network whose batch is baked in and not 1."""
        check_batch(module)

    def emit(self, module: Module, base: Graph, folder: Path) -> Emitted:
        """Write model.onnx and base.onnx. Raises as `check` does."""
        from eennc.backends.onnx.emission import write_base, write_model  # onnx is slow to import

        check_batch(module)
        free = self.batch == "free" and "batch" not in module.attributes
        write_model(module, folder / "model.onnx", free=free, external_above=self.external_above)
        write_base(base, folder / "base.onnx", free=free, external_above=self.external_above)
        return Emitted("model.onnx", "base.onnx", None if free else 1)
