"""fold-constants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge

from eennc.ir.graph import Module
from eennc.ir.interpreter import run_op
from eennc.ir.op import Op
from eennc.ir.ops.opaque import Opaque
from eennc.ir.values import Value, Weight
from eennc.passes.base import Context, Pass
from eennc.passes.canonicalise.walk import Walk, WeightNames, rewrite, weights_of


@dataclass(frozen=True)
class FoldConstants(Pass):
    """Evaluate ops that only weights go into. Opaque ops are left alone.

    Before:
        argument %x : tensor<Nx4xf32>
        weight @a : tensor<4xf32>
        weight @b : tensor<4xf32>
        %0 = nn.mul @a, @b : tensor<4xf32>
        %1 = nn.add %x, %0 : tensor<Nx4xf32>
    After:
        weight @a.folded : tensor<4xf32>
        %0 = nn.add %x, @a.folded : tensor<Nx4xf32>
    """

    invalidates: ClassVar[frozenset[str]] = frozenset({"costs"})

    largest: Annotated[int, Ge(0)] = 64 * 2**20
    """Bytes; an op is left alone where its results would take more."""

    def run(self, module: Module, ctx: Context) -> bool:
        """Changed where an op was evaluated."""
        names = WeightNames(module)

        def rule(op: Op, walk: Walk) -> Sequence[Value] | None:
            weights = weights_of(op)
            if weights is None or op.name.startswith("ee.") or isinstance(op, Opaque):
                return None
            types = [result.type for result in op.results]
            if not all(type.known for type in types) or sum(type.bytes() for type in types) > self.largest:
                return None
            with np.errstate(all="ignore"):
                arrays = run_op(op, [None if value is None else _array(value) for value in op.operands])
            base = weights[0].name if weights else op.origin.node or op.name
            return [Weight(names.new(base), array) for array in arrays]

        return rewrite(module, rule)


def _array(value: Value) -> np.ndarray:
    assert isinstance(value, Weight)  # weights_of has seen to it
    return value.array
