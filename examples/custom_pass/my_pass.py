"""A pass of one's own: eennc model.onnx --load my_pass.py -p passes.yaml -b onnx -o build/"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Interval

from eennc.ir.graph import Module
from eennc.ir.op import Op
from eennc.ir.ops.candidate import Candidate
from eennc.passes.base import Context, Pass


@dataclass(frozen=True)
class DropLateExits(Pass):
    """Take the marks away behind which too little of the network is left: an exit there saves next to nothing.

    Before:
        argument %x : tensor<Nx4xf32>
        weight @a : tensor<4x4xf32>
        weight @b : tensor<3x4xf32>
        %0 = nn.dense %x, @a : tensor<Nx4xf32>
        ee.candidate %0 {place = "a"}
        %1 = nn.dense %0, @b : tensor<Nx3xf32>
        ee.candidate %1 {place = "b"}
        return %1
    After:
        %0 = nn.dense %x, @a : tensor<Nx4xf32>
        ee.candidate %0 {place = "a"}
        %1 = nn.dense %0, @b : tensor<Nx3xf32>
        return %1
    """

    requires: ClassVar[frozenset[str]] = frozenset({"candidates"})

    share: Annotated[float, Interval(gt=0, le=1)] = 0.9
    """Marks stay where at most this share of the network's MACs has run."""

    def run(self, module: Module, ctx: Context) -> bool:
        """Changed where a mark went."""
        limit = self.share * sum(op.macs() for op in module.main.ops)
        done = 0
        kept: list[Op] = []
        for op in module.main.ops:
            done += op.macs()
            if not isinstance(op, Candidate) or done <= limit:
                kept.append(op)
            else:
                ctx.progress.note(f"{self.name}: no exit behind {op.place}")
        changed = len(kept) < len(module.main.ops)
        module.main.ops = kept
        return changed
