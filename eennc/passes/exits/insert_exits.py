"""insert-exits."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le

from eennc.data.features import CACHE_LIMIT, largest_grid
from eennc.ir.cuts import exits_of
from eennc.ir.graph import Graph, Module
from eennc.ir.op import Op
from eennc.ir.ops.candidate import Candidate
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.exit import Exit
from eennc.ir.ops.matmul import MatMul
from eennc.ir.ops.softmax import Softmax
from eennc.ir.values import Result, Value, Weight
from eennc.passes.base import Context, Pass
from eennc.passes.exits.blueprint import LARGEST_GRID, Blueprint, blueprint_of
from eennc.passes.exits.classifier import prepare_scores
from eennc.passes.exits.flow import fed
from eennc.passes.exits.reductions import Reduction, reduce
from eennc.support.diagnostics import UserError

WIDTHS = (256, 128, 64, 32, 16)
HEAD_SHARE = 0.03
"""Share of the network's MACs that one head may have, unless the narrowest has more."""
HEAD_PARAMETERS = 2**20
"""Parameters that one head may have, likewise: networks with thousands of channels would grow many times over."""


@dataclass(frozen=True)
class InsertExits(Pass):
    """Put a head and an exit behind each candidate. Thresholds are inf: no exit fires yet.

    A head is a reduction without parameters (the feature map pooled to `grid` cells a side) and a trainable part whose
    weights are random. Where the network's output are probabilities, so are the head's.

    Before:
        module stage imported attributes {classes = 3, scores = "logits"}
        argument %x : tensor<Nx2x4x4xf32>
        %0 = nn.conv %x, @a : tensor<Nx4x4x4xf32>
        ee.candidate %0 {place = "a"}
        %1 = nn.conv %0, @b : tensor<Nx4x4x4xf32>
        %2 = nn.flatten %1 : tensor<Nx64xf32>
        %3 = nn.dense %2, @c : tensor<Nx3xf32>
    After (grid=1, hidden=64):
        module stage exits-placed attributes {classes = 3, scores = "logits"}
        %0 = nn.conv %x, @a : tensor<Nx4x4x4xf32>
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
    """

    requires: ClassVar[frozenset[str]] = frozenset({"candidates"})
    ensures: ClassVar[frozenset[str]] = frozenset({"exits"})
    invalidates: ClassVar[frozenset[str]] = frozenset({"candidates", "costs"})

    head: Literal["mlp", "linear", "blueprint"] = "mlp"
    """One hidden layer, none, or the pooling and the layers of the network's own classifier."""
    reduction: Reduction = "average+max"
    """How the feature map is pooled (not for a blueprint)."""
    grid: Annotated[int, Ge(1), Le(LARGEST_GRID)] = 4
    """Cells a side of the pooled map (a blueprint has the classifier's); fewer where the features of the training data
    would not fit cache_limit."""
    hidden: Annotated[int, Ge(1), Le(65536)] | None = None
    """Width of the hidden layer of an mlp; none: 16 to 256, the widest whose head has at most 3 % of all MACs
    and a million parameters."""
    cache_limit: Annotated[int, Ge(0)] = CACHE_LIMIT
    """Bytes that the cached features (as float16) of the training data may take; decides the grid, down to 1."""

    def __post_init__(self) -> None:
        if self.head != "mlp" and self.hidden is not None:
            raise ValueError(f"hidden is for head: mlp, not {self.head}")

    def run(self, module: Module, ctx: Context) -> bool:
        """Replace the marks; without marks nothing changes where exits stand already."""
        main = module.main
        marks = [op for op in main.ops if isinstance(op, Candidate)]
        if not marks:
            if exits_of(main):
                return False
            raise UserError("insert-exits: no candidate is marked", hint="put find-exits before it")
        prepare_scores(module)
        design = self._design(module, marks, ctx)
        taken = {weight.name for weight in module.weights()}
        base_macs = sum(op.macs() for op in main.ops)
        for number, mark in enumerate(marks):
            self._place(module, mark, number, design, base_macs, ctx.seed, taken)
        module.stage = "exits-placed"
        return True

    def _design(self, module: Module, marks: Sequence[Candidate], ctx: Context) -> Blueprint:
        wanted = blueprint_of(module.main) if self.head == "blueprint" else Blueprint((), self.reduction, self.grid)
        if ctx.data.train is None:
            return wanted
        shapes = [[int(dim) for dim in mark.x.type.shape[1:]] for mark in marks]
        users = module.main.users()
        maps = [s[::-1] if _has_steps(m.x, users) else s for s, m in zip(shapes, marks, strict=True)]
        poolings = 2 if wanted.reduction == "average+max" else 1
        grid = largest_grid(maps, len(ctx.data.train), self.cache_limit, poolings=poolings, largest=wanted.grid)
        if grid < wanted.grid:
            ctx.progress.warn(
                f"insert-exits: grid {grid} instead of {wanted.grid}, or the features of {len(ctx.data.train)} samples "
                f"would take more than cache_limit, {self.cache_limit} bytes"
            )
        return replace(wanted, grid=grid)

    def _place(
        self,
        module: Module,
        mark: Candidate,
        number: int,
        design: Blueprint,
        base_macs: int,
        seed: int,
        taken: set[str],
    ) -> None:
        """Put head and exit in the place of `mark`."""
        main = module.main
        at = main.ops.index(mark)
        before, after = main.ops[:at], main.ops[at + 1 :]
        if all(isinstance(op, Candidate) for op in after):
            raise UserError(
                f"insert-exits: nothing follows '{mark.place}' ({mark.origin})", hint="an exit there saves no work"
            )
        carried = _crossing(main, before, after)
        head = self._head(module, mark.x, number, design, base_macs, seed, taken)
        exit = Exit(
            scores=head[-1].result,
            carry=carried,
            exit=number,
            place=mark.place,
            kind=module.attributes["scores"],
            origin=mark.origin.via(self.name),
        )
        by = dict[Value, Value](zip(carried, exit.results, strict=True))
        for op in after:
            op.operands = [None if value is None else by.get(value, value) for value in op.operands]
        main.returns = [by.get(value, value) for value in main.returns]
        main.ops = [*before, *head, exit, *after]

    def _head(
        self,
        module: Module,
        x: Value,
        number: int,
        design: Blueprint,
        base_macs: int,
        seed: int,
        taken: set[str],
    ) -> list[Op]:
        random = np.random.default_rng([seed, number])
        classes = int(module.main.returns[0].type.concrete()[1])
        ops = reduce(x, design.reduction, design.grid, channels_last=_has_steps(x, module.main.users()))
        for op in ops:
            op.notes["reduction"] = number
        value: Value = ops[-1].result if ops else x
        hidden = design.hidden
        if self.head == "mlp":
            hidden = (self.hidden or _width(int(value.type.shape[1]), classes, base_macs),)
        widths = [*hidden, classes]
        for layer, width in enumerate(widths):
            inputs = int(value.type.shape[1])
            # He's uniform initialisation; training starts from its own
            matrix = random.random((width, inputs), np.float32)
            matrix -= np.float32(0.5)
            matrix *= np.float32(2 * math.sqrt(6 / inputs))
            name = f"exit{number}.dense{layer}"
            dense = Dense(
                x=value,
                weight=Weight(_fresh(f"{name}.weight", taken), matrix),
                bias=Weight(_fresh(f"{name}.bias", taken), np.zeros(width, np.float32)),
                activation="relu" if layer < len(widths) - 1 else "none",
            )
            ops.append(dense)
            value = dense.result
        if module.attributes["scores"] == "probabilities":
            ops.append(Softmax(x=value))
        for op in ops:
            op.notes = {"head": number, **op.notes}
            op.origin = op.origin.via(self.name)
        return ops


def _width(features: int, classes: int, base_macs: int) -> int:
    """The widest hidden layer that is worth its MACs: larger networks gain from wider ones (benchmarks/heads.py)."""
    most = min(HEAD_SHARE * base_macs, HEAD_PARAMETERS)
    fitting = (width for width in WIDTHS if width * (features + classes) <= most)
    return next(fitting, WIDTHS[-1])


def _crossing(main: Graph, before: Sequence[Op], after: Sequence[Op]) -> list[Value]:
    """The values made before and used after; what is made of weights alone need not be carried."""
    from_input = fed(main)
    made = {*main.arguments, *(result for op in before for result in op.results)} & from_input
    used = [value for op in after for value in op.inputs]
    return list(dict.fromkeys(value for value in (*used, *main.returns) if value in made))


def _has_steps(x: Value, users: Mapping[Value, Sequence[Op]]) -> bool:
    """Whether `x` is [N, steps, features], as dense layers make and take it, not [N, channels, time]."""
    around = [*users.get(x, ()), *([x.op] if isinstance(x, Result) else [])]
    return x.type.rank == 3 and any(isinstance(op, (Dense, MatMul)) for op in around)


def _fresh(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name += "_"
    return name
