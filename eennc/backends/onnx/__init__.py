"""The ONNX backend: one model with the exits inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Le

from eennc.backends.base import Backend, Emitted, backend, check_batch
from eennc.ir.cuts import exits_of
from eennc.ir.graph import Graph, Module
from eennc.ir.rules import STREAM, Numbers
from eennc.passes.base import Pass
from eennc.passes.exits.form_segments import FormSegments
from eennc.passes.layout.channels_last import ChannelsLast
from eennc.support.diagnostics import UserError


@backend
@dataclass(frozen=True)
class OnnxBackend(Backend):
    """One ONNX model with the exits as `If`: what an exit skips is not run.

    Outputs: `scores` [N, classes], which mean what the model's own output meant, and `exit` int64 [N], the exit that
    answered, the number of exits for the last classifier. The base network lies beside it as base.onnx. A network with
    operating points has the optional input `point`, int64 []: the number of one, 0 where it is not given. One whose
    exits decide by temporal-patience has the optional input `state`, int64 []: the class that was answered to the
    sample before, -1 where it is not given.
    """

    name: ClassVar[str] = "onnx"
    lowering: ClassVar[tuple[Pass, ...]] = (ChannelsLast(networks="quantised"), FormSegments())
    rules: ClassVar[Mapping[Numbers, Sequence[str]]] = {
        "float": ("max_probability", "margin", "patience", "entropy", "temporal-patience", "class_thresholds"),
        "int8": ("max_probability", "margin", "patience", "temporal-patience", "class_thresholds"),
    }

    batch: Literal[1, "free"] = 1
    """1: nested `If`, for one sample at a time. free: each sample of a batch stops at its own exit. A model whose batch
    is baked in is always 1."""
    external_above: Annotated[int, Ge(0), Le(1_800_000_000)] = 8 << 20
    """Bytes of weights above which they go into a file beside the model. onnxruntime copies weights that are inside
    once for each level of nesting: 94 MB of them and 8 exits take 1.1 GiB, with a file beside 0.2 GiB."""

    def check(self, module: Module, *, integers: bool) -> None:
        """Raises UserError for a network whose batch is baked in and not 1, and for a free batch where exits look at
        what was answered to the sample before.
        """
        check_batch(module)
        if self.batch == "free" and any(exit.streams for exit in exits_of(module.main)):
            raise UserError(
                f"the rule {STREAM} takes one sample after the other, and onnx{{batch=free}} many at once",
                hint="compile with -b onnx",
            )

    def emit(self, module: Module, base: Graph, folder: Path) -> Emitted:
        """Write model.onnx and base.onnx. Raises as `check` does."""
        from eennc.backends.onnx.emission import write_base, write_model  # onnx is slow to import

        self.check(module, integers=False)
        free = self.batch == "free" and "batch" not in module.attributes
        optional = write_model(module, folder / "model.onnx", free=free, external_above=self.external_above)
        write_base(base, folder / "base.onnx", free=free, external_above=self.external_above)
        return Emitted(
            "model.onnx", "base.onnx", None if free else 1, point_input=optional.point, state_input=optional.last
        )
