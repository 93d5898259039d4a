"""dce."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from eennc.ir.graph import Module
from eennc.passes.base import Context, Pass


@dataclass(frozen=True)
class DeadCodeElimination(Pass):
    """Remove ops whose results nothing uses. Marks and exits are kept for what they do.

    Before:
        argument %x : tensor<Nx4xf32>
        %0 = nn.relu %x : tensor<Nx4xf32>
        %1 = nn.softmax %x : tensor<Nx4xf32>
        %2 = nn.identity %1 : tensor<Nx4xf32>
        return %0
    After:
        %0 = nn.relu %x : tensor<Nx4xf32>
    """

    name: ClassVar[str] = "dce"
    invalidates: ClassVar[frozenset[str]] = frozenset({"costs"})

    def run(self, module: Module, ctx: Context) -> bool:
        """Changed where an op went."""
        removed = [graph.remove_unused() for graph in module.graphs.values()]
        return any(removed)
