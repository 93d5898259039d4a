"""The null backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from eennc.backends.base import Backend, Emitted, backend
from eennc.ir.graph import Graph, Module
from eennc.ir.rules import FORMS, Numbers
from eennc.ir.text import save_module


@backend
@dataclass(frozen=True)
class NullBackend(Backend):
    """The segmented module as text (.eir) with its weights beside it: nothing that runs."""

    name: ClassVar[str] = "null"
    rules: ClassVar[Mapping[Numbers, Sequence[str]]] = FORMS

    def emit(self, module: Module, base: Graph, folder: Path) -> Emitted:
        """Write model.eir."""
        save_module(module, folder / "model.eir")
        return Emitted("model.eir", None, None)
