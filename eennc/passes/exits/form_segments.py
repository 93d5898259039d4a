"""form-segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from eennc.ir.graph import Graph, Module, copy_ops
from eennc.ir.op import Op, Origin
from eennc.ir.ops.call import Call
from eennc.ir.ops.candidate import Candidate
from eennc.ir.stretches import stretches_of
from eennc.ir.values import Argument, Value, Weight
from eennc.passes.base import Context, Pass


@dataclass(frozen=True)
class FormSegments(Pass):
    """Outline the stretches between exits into functions; main becomes the decision graph of calls and exits.

    Marks of candidates go: what was not made an exit is none. Without exits there is one segment.

    Before:
        graph @main(%x: tensor<Nx4xf32>) -> tensor<Nx3xf32> {
          %0 = nn.dense %x, @a : tensor<Nx4xf32>
          %1 = nn.dense %0, @h !{head = 0} : tensor<Nx3xf32>
          %2 = ee.exit %1 carry(%0) {exit = 0, threshold = 0.5} : tensor<Nx4xf32>
          %3 = nn.dense %2, @b : tensor<Nx3xf32>
          return %3
        }
    After:
        module stage segmented
        graph @main(%x: tensor<Nx4xf32>) -> tensor<Nx3xf32> {
          %0 = ee.call args(%x) {callee = "segment0"} : tensor<Nx4xf32>
          %1 = ee.call args(%0) {callee = "head0"} : tensor<Nx3xf32>
          %2 = ee.exit %1 carry(%0) {exit = 0, threshold = 0.5} : tensor<Nx4xf32>
          %3 = ee.call args(%2) {callee = "segment1"} : tensor<Nx3xf32>
          return %3
        }
        graph @segment0(%x0: tensor<Nx4xf32>) -> tensor<Nx4xf32> {
          %0 = nn.dense %x0, @a : tensor<Nx4xf32>
          return %0
        }
        graph @head0(%x0: tensor<Nx4xf32>) -> tensor<Nx3xf32> {
          %0 = nn.dense %x0, @h !{head = 0} : tensor<Nx3xf32>
          return %0
        }
        graph @segment1(%x0: tensor<Nx4xf32>) -> tensor<Nx3xf32> {
          %0 = nn.dense %x0, @b : tensor<Nx3xf32>
          return %0
        }
    """

    ensures: ClassVar[frozenset[str]] = frozenset({"segments"})

    def run(self, module: Module, ctx: Context) -> bool:
        """Outline; a segmented module stays as it is."""
        if module.stage == "segmented":
            return False
        main = module.main
        main.ops = [op for op in main.ops if not isinstance(op, Candidate)]
        decision: list[Op] = []
        names: dict[Value, Value] = {argument: argument for argument in main.arguments}
        for number, stretch in enumerate(stretches_of(main)):
            for_head = dict.fromkeys(value for op in stretch.head for value in op.inputs)
            leaving = stretch.leaving(main)
            if stretch.exit is not None:
                leaving = tuple(dict.fromkeys((*leaving, stretch.exit.scores, stretch.exit.evidence)))
            made = {result for op in stretch.backbone for result in op.results}
            returned = [value for value in (*leaving, *for_head) if value in made]
            self._outline(module, f"segment{number}", stretch.backbone, returned, decision, names)
            if stretch.exit is None:
                break
            made = {result for op in stretch.head for result in op.results}
            head = [value for value in (stretch.exit.scores, stretch.exit.evidence) if value in made]
            self._outline(module, f"head{number}", stretch.head, head, decision, names)
            exit = stretch.exit.rebuilt([None if value is None else names[value] for value in stretch.exit.operands])
            decision.append(exit)
            names.update(zip(stretch.exit.results, exit.results, strict=True))
        main.ops = decision
        main.returns = [names[value] for value in main.returns]
        module.stage = "segmented"
        return True

    def _outline(
        self,
        module: Module,
        name: str,
        ops: Sequence[Op],
        returned: Sequence[Value],
        decision: list[Op],
        names: dict[Value, Value],
    ) -> None:
        """Move `ops` into function `name`, and call it; `names` maps old values to those of the decision graph."""
        returned = list(dict.fromkeys(returned))
        if not returned:
            return
        made = {result for op in ops for result in op.results}
        taken = dict.fromkeys(
            value for op in ops for value in op.inputs if value not in made and not isinstance(value, Weight)
        )
        arguments = {value: Argument(f"x{i}", value.type) for i, value in enumerate(taken)}
        inside: dict[Value, Value] = dict(arguments)
        copies = copy_ops(ops, inside)
        module.graphs[name] = Graph(name, list(arguments.values()), copies, [inside[value] for value in returned])
        call = Call(
            args=[names[value] for value in taken],
            callee=name,
            types=[value.type for value in returned],
            origin=Origin(ops[-1].origin.source).via(self.name),
        )
        decision.append(call)
        names.update(zip(returned, call.results, strict=True))
