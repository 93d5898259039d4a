"""cse."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from eennc.ir.graph import Graph, Module
from eennc.ir.op import Op
from eennc.ir.ops.opaque import Opaque
from eennc.ir.values import Value, Weight
from eennc.passes.base import Context, Pass
from eennc.passes.canonicalise.walk import Walk


@dataclass(frozen=True)
class CommonSubexpressions(Pass):
    """Compute what is computed twice only once: same op, operands, attributes. Weights of equal content become one.

    Opaque ops may be random and stay; so do heads of exits and their weights, which are trained one by one.

    Before:
        argument %x : tensor<Nx4xf32>
        weight @w : tensor<3x4xf32>
        %0 = nn.dense %x, @w : tensor<Nx3xf32>
        %1 = nn.dense %x, @w : tensor<Nx3xf32>
        %2 = nn.add %0, %1 : tensor<Nx3xf32>
    After:
        %0 = nn.dense %x, @w : tensor<Nx3xf32>
        %1 = nn.add %0, %0 : tensor<Nx3xf32>
    """

    name: ClassVar[str] = "cse"
    invalidates: ClassVar[frozenset[str]] = frozenset({"costs"})

    def run(self, module: Module, ctx: Context) -> bool:
        """Changed where ops or weights became one."""
        merged = _merge_weights(module)
        changed = [_merge_ops(graph) for graph in module.graphs.values()]
        return merged or any(changed)


def _merge_weights(module: Module) -> bool:
    heads = {value for op in module.ops() if "head" in op.notes for value in op.inputs}
    first: dict[str, Weight] = {}
    by: dict[Value, Value] = {}
    for weight in module.weights():
        if weight not in heads:
            kept = first.setdefault(weight.digest, weight)
            if kept is not weight:
                by[weight] = kept
    if by:
        for graph in module.graphs.values():
            graph.substitute(by)
    return bool(by)


def _merge_ops(graph: Graph) -> bool:
    found: dict[Hashable, Op] = {}

    def rule(op: Op, walk: Walk) -> Sequence[Value] | None:
        if op.name.startswith("ee.") or isinstance(op, Opaque) or not op.results:
            return None
        key = (op.name, *op.operands, *op.attrs.items(), *op.notes.items(), *(result.type for result in op.results))
        same = found.setdefault(key, op)
        if same is op or not all(map(walk.may_merge, op.results, same.results)):
            return None
        return same.results

    return Walk(graph).run(rule)
