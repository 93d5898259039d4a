"""integer-input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from eennc.ir.graph import Module
from eennc.ir.ops.q_quantize import Quantize
from eennc.ir.values import Argument
from eennc.passes.base import Context, Pass


@dataclass(frozen=True)
class IntegerInput(Pass):
    """Let the caller quantise: where all that a network does with its floats is to make integers of them, it takes the
    integers.

    Before:
        module stage quantised
        argument %x : tensor<Nx4xf32>
        weight @w : tensor<3x4xi8> = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
        weight @s : tensor<1xf32> = [0.5]
        %0 = q.quantize %x {scale = 0.25, zero_point = 3} : tensor<Nx4xi8, 0.25:3>
        %1 = q.dense %0, @w, @s {scale = 2.0} : tensor<Nx3xi8, 2.0:0>
    After:
        module stage quantised
        argument %x : tensor<Nx4xi8, 0.25:3>
        %0 = q.dense %x, @w, @s {scale = 2.0} : tensor<Nx3xi8, 2.0:0>
    """

    ensures: ClassVar[frozenset[str]] = frozenset({"integer-input"})

    def run(self, module: Module, ctx: Context) -> bool:
        """Change the argument, unless something else takes it too."""
        main = module.main
        (argument,) = main.arguments
        users = main.users().get(argument, [])
        if len(users) != 1 or not isinstance(users[0], Quantize) or argument in main.returns:
            return False
        quantize = users[0]
        taken = Argument(argument.name, quantize.result.type)
        main.arguments = [taken]
        main.rewrite({quantize: ()}, {quantize.result: taken})
        return True
