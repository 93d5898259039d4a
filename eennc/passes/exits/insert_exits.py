"""insert-exits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, cast

import numpy as np
from annotated_types import Ge, Le

from eennc.data.features import largest_grid
from eennc.ir.graph import Graph, Module
from eennc.ir.op import Op
from eennc.ir.ops.candidate import Candidate
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.exit import Exit
from eennc.ir.ops.flatten import Flatten
from eennc.ir.ops.reshape import Reshape
from eennc.ir.ops.softmax import Softmax
from eennc.ir.values import Result, Value, Weight
from eennc.passes.base import Context, Pass
from eennc.passes.exits.classifier import find_classifier
from eennc.passes.exits.reductions import Reduction, reduce
from eennc.support.diagnostics import UserError


@dataclass(frozen=True)
class Blueprint:
    """The head that the network's own classifier is an example of: its widths, and what it does to the feature map.

    `grid` is the side of the map that it flattens; 1 where it pools the whole map.
    """

    hidden: tuple[int, ...]
    grid: int


@dataclass(frozen=True)
class InsertExits(Pass):
    """Put a head and an exit behind each candidate. Thresholds are inf: no exit fires yet.

    A head is a reduction without parameters (the whole feature map pooled to `grid` cells a side) and a trainable part.

    Before:
        graph @main(%input: tensor<Nx2x4x4xf32>) -> tensor<Nx3xf32> {
          %0 = nn.conv %input, @a : tensor<Nx4x4x4xf32>
          ee.candidate %0 {place = "a"}
          %1 = nn.conv %0, @b : tensor<Nx4x4x4xf32>
          %2 = nn.flatten %1 : tensor<Nx64xf32>
          %3 = nn.dense %2, @c : tensor<Nx3xf32>
          return %3
        }
    After:
        graph @main(%input: tensor<Nx2x4x4xf32>) -> tensor<Nx3xf32> {
          %0 = nn.conv %input, @a : tensor<Nx4x4x4xf32>
          %1 = nn.global_average_pool %0 !{head = 0, reduction = 0} : tensor<Nx4x1x1xf32>
          %2 = nn.global_max_pool %0 !{head = 0, reduction = 0} : tensor<Nx4x1x1xf32>
          %3 = nn.concat xs(%1, %2) {axis = 1} !{head = 0, reduction = 0} : tensor<Nx8x1x1xf32>
          %4 = nn.reshape %3 {shape = [-1, 8]} !{head = 0, reduction = 0} : tensor<Nx8xf32>
          %5 = nn.dense %4, @exit0.dense0.weight, @exit0.dense0.bias {activation = relu} !{head = 0} : tensor<Nx64xf32>
          %6 = nn.dense %5, @exit0.dense1.weight, @exit0.dense1.bias !{head = 0} : tensor<Nx3xf32>
          %7 = ee.exit %6 carry(%0) {exit = 0, place = "a"} : tensor<Nx4x4x4xf32>
          %8 = nn.conv %7, @b : tensor<Nx4x4x4xf32>
          %9 = nn.flatten %8 : tensor<Nx64xf32>
          %10 = nn.dense %9, @c : tensor<Nx3xf32>
          return %10
        }
    """

    requires: ClassVar[frozenset[str]] = frozenset({"candidates"})
    ensures: ClassVar[frozenset[str]] = frozenset({"exits"})
    invalidates: ClassVar[frozenset[str]] = frozenset({"candidates", "costs"})

    head: Literal["mlp", "linear", "blueprint"] = "mlp"
    """The trainable part: one hidden layer, none, or the layers of the network's own classifier."""
    reduction: Reduction = "average+max"
    """How the feature map is pooled. A blueprint takes the average alone."""
    grid: Annotated[int, Ge(1), Le(16)] = 1
    """Cells a side of the pooled map; fewer where the features of the training data would not fit cache_limit."""
    hidden: Annotated[int, Ge(1), Le(65536)] = 64
    """Width of the hidden layer of an mlp."""
    cache_limit: Annotated[int, Ge(0)] = 4_000_000_000
    """Bytes that the cached features (float16) of the training data may take."""

    def run(self, module: Module, ctx: Context) -> bool:
        """Replace the marks."""
        main = module.main
        marks = [op for op in main.ops if isinstance(op, Candidate)]
        if not marks:
            raise UserError("insert-exits: no candidate is marked", hint="put find-exits before it")
        shape = self._shape(module)
        reduction: Reduction = "average" if self.head == "blueprint" else self.reduction
        grid = shape.grid
        if ctx.data.train is not None:
            maps = [[int(dim) for dim in mark.x.type.shape[1:]] for mark in marks]
            poolings = 2 if reduction == "average+max" else 1
            grid = largest_grid(maps, len(ctx.data.train), self.cache_limit, poolings=poolings, largest=grid)
            if grid < shape.grid:
                ctx.progress.warn(
                    f"insert-exits: grid {grid} instead of {shape.grid}, for cache_limit {self.cache_limit}"
                )
        by: dict[Value, Value] = {}
        ops: list[Op] = []
        number = 0
        for op in main.ops:
            if not isinstance(op, Candidate):
                ops.append(op)
                op.operands = [None if value is None else by.get(value, value) for value in op.operands]
                continue
            x = by.get(op.x, op.x)
            crossing = self._crossing(main, op, by)
            head = self._head(module, x, number, shape.hidden, reduction, grid, ctx.seed)
            exit = Exit(
                scores=head[-1].result,
                carry=crossing,
                exit=number,
                place=op.place,
                kind=module.attributes["scores"],
                origin=op.origin.via(self.name),
            )
            ops.extend((*head, exit))
            carried = dict(zip(crossing, exit.results, strict=True))
            by = {old: carried.get(new, new) for old, new in by.items()}
            by.update((value, result) for value, result in carried.items() if value not in by.values())
            number += 1
        main.ops = ops
        main.returns = [by.get(value, value) for value in main.returns]
        module.stage = "exits-placed"
        return True

    def _shape(self, module: Module) -> Blueprint:
        if self.head == "blueprint":
            return blueprint_of(module.main)
        return Blueprint((self.hidden,) if self.head == "mlp" else (), self.grid)

    @staticmethod
    def _crossing(main: Graph, mark: Candidate, by: dict[Value, Value]) -> list[Value]:
        """The values made before the mark and used after it, as they are called now."""
        at = main.ops.index(mark)
        made: set[Value] = set(main.arguments)
        for op in main.ops[:at]:
            if any(not isinstance(value, Weight) for value in op.inputs):
                made.update(op.results)
        later = [value for op in main.ops[at + 1 :] if not isinstance(op, Candidate) for value in op.inputs]
        crossing = dict.fromkeys(value for value in (*later, *main.returns) if value in made)
        if list(crossing) != [mark.x]:
            others = len(crossing) - (mark.x in crossing)
            raise UserError(
                f"insert-exits: {others} other tensors than '{mark.place}' are needed after it",
                hint="an exit may only stand where all later work flows through one tensor",
            )
        return [by.get(value, value) for value in crossing]

    def _head(
        self, module: Module, x: Value, number: int, hidden: Sequence[int], reduction: Reduction, grid: int, seed: int
    ) -> list[Op]:
        random = np.random.default_rng([seed, number])
        ops = reduce(x, reduction, grid)
        for op in ops:
            op.notes["reduction"] = number
        value: Value = ops[-1].result if ops else x
        widths = [*hidden, cast(int, module.attributes["classes"])]
        for layer, width in enumerate(widths):
            inputs = int(value.type.shape[1])
            # He initialisation; training starts from its own
            matrix = random.normal(0, math.sqrt(2 / inputs), (width, inputs)).astype(np.float32)
            name = f"exit{number}.dense{layer}"
            ops.append(
                Dense(
                    x=value,
                    weight=Weight(f"{name}.weight", matrix),
                    bias=Weight(f"{name}.bias", np.zeros(width, np.float32)),
                    activation="relu" if layer < len(widths) - 1 else "none",
                )
            )
            value = ops[-1].result
        if module.attributes["scores"] == "probabilities":
            ops.append(Softmax(x=value))
        for op in ops:
            op.notes = {"head": number, **op.notes}
            op.origin = op.origin.via(self.name)
        return ops


def blueprint_of(main: Graph) -> Blueprint:
    """What the network's own classifier looks like, from its last dense op back to the last feature map."""
    op = find_classifier(main).op
    hidden: list[int] = []
    grid = 1
    value: Value = op.inputs[0]
    while isinstance(value, Result):
        if isinstance(value.op, Dense):
            hidden.insert(0, int(value.type.shape[1]))
        elif isinstance(value.op, (Flatten, Reshape)):
            sides = [int(dim) for dim in value.op.x.type.shape[2:]]
            grid = max([1, *sides])
            break
        elif value.op.macs() or value.type.rank > 2:
            break
        value = value.op.inputs[0]
    return Blueprint(tuple(hidden), min(grid, 16))
