"""What a network costs: MACs, parameters, bytes. Counted on the structure alone; notes are only written.

MACs are the multiply-accumulates of convolutions, dense ops and matrix products, for one sample; elementwise ops,
pools and opaque ops count none. Memory is that of one sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from eennc.ir.cuts import exits_of
from eennc.ir.fields import Attr
from eennc.ir.graph import Graph, Module
from eennc.ir.op import Op
from eennc.ir.ops.call import Call
from eennc.ir.ops.exit import Exit
from eennc.ir.ops.opaque import Opaque
from eennc.ir.stretches import stretches_of
from eennc.ir.values import Value, Weight
from eennc.passes.base import Context, Pass
from eennc.passes.target import Target
from eennc.policy.table import Costs
from eennc.support.diagnostics import UserError


@dataclass(frozen=True)
class OpCost:
    """One op for one sample: MACs, parameters (elements of weights, without scales), bytes of all weights, bytes of
    results. Those of unknown size count 0 bytes.
    """

    macs: int
    params: int
    weight_bytes: int
    activation_bytes: int


@dataclass(frozen=True)
class GraphCost:
    """A graph for one sample: the sums over its ops, weights that several ops share counted once.

    `peak_bytes` is the largest sum of the sizes of values that live together: arguments and results from where they
    are made to their last use, an op's operands and results at once. An exit's results are the values it carries.
    """

    macs: int
    params: int
    weight_bytes: int
    activation_bytes: int
    peak_bytes: int


@dataclass(frozen=True)
class ExitCost:
    """What stopping at an exit costs, all heads up to it run: `path` is the network up to there."""

    exit: int
    place: str
    backbone_macs: int
    """MACs of the network up to the exit, without any head."""
    head_macs: int
    """MACs of this exit's head."""
    path: GraphCost


@dataclass(frozen=True)
class ModuleCost:
    """The costs of a module: `total` where no exit fires, and per exit."""

    total: GraphCost
    exits: tuple[ExitCost, ...]


def op_cost(op: Op) -> OpCost:
    """The cost of one op (not of what a call runs)."""
    params, weight_bytes = _weights_size([op])
    return OpCost(op.macs(), params, weight_bytes, sum(_bytes(result) for result in _made(op)))


def graph_cost(graph: Graph) -> GraphCost:
    """The cost of all ops of a graph; a graph of calls has to be asked for as `module_cost`."""
    return _cost(graph, graph.ops, graph.returns)


def module_cost(module: Module) -> ModuleCost:
    """The costs of a network with or without exits. Raises UserError for one that is segmented already."""
    main = module.main
    if any(isinstance(op, Call) for op in main.ops):
        raise UserError("the costs of a segmented module are not told", hint="put annotate-cost before form-segments")
    stretches = stretches_of(main)
    costs = costs_of(module)
    exits: list[ExitCost] = []
    wanted: set[Op] = set()
    for index, stretch in enumerate(stretches):
        if stretch.exit is None:
            break
        wanted.update((*stretch.backbone, *stretch.head, stretch.exit))
        path = [op for op in main.ops if op in wanted]
        exits.append(
            ExitCost(
                exit=stretch.exit.exit,
                place=stretch.exit.place,
                backbone_macs=int(costs.backbone[index]),
                head_macs=int(costs.head[index]),
                path=_cost(main, path, [stretch.exit.scores]),
            )
        )
    return ModuleCost(graph_cost(main), tuple(exits))


def costs_of(module: Module) -> Costs:
    """MACs of the backbone up to each exit, and of each head: what policies are solved with.

    To exit k's head belong the ops that only its scores depend on. Segmented modules may be given: a call costs what
    it runs.
    """
    stretches = stretches_of(module.main)
    backbone = [_macs(module, stretch.backbone) for stretch in stretches]
    head = [_macs(module, stretch.head) for stretch in stretches if stretch.exit]
    return Costs(backbone=np.cumsum(backbone, dtype=np.int64), head=np.array(head, np.int64))


def instructions_of(module: Module, target: Target) -> Costs:
    """The same in instructions that a target's kernels are predicted to execute, decisions counted with their heads.
    What floats do before the network's first integers is left out: that becomes a table of bytes, or the caller's.
    Raises UserError for an op of which the target knows nothing.
    """
    ops = module.main.ops
    begin = next((index for index, op in enumerate(ops) if op.name.startswith("q.")), 0)
    prepared = set(ops[:begin])

    def predicted(op: Op) -> float:
        found = 0.0 if op in prepared else target.instructions(op)
        if found is None:
            raise UserError(
                f"nothing predicts the instructions of {op.name}: the rates are those of int8 kernels",
                hint="put calibrate and quantize-int8 before solve-thresholds, or take cost: macs",
            )
        return found

    stretches = stretches_of(module.main)
    backbone = [sum(map(predicted, stretch.backbone)) for stretch in stretches]
    head = [sum(map(predicted, (*stretch.head, stretch.exit))) for stretch in stretches if stretch.exit]
    return Costs(np.cumsum(backbone).astype(np.int64), np.array(head).astype(np.int64), "instructions")


@dataclass(frozen=True)
class AnnotateCost(Pass):
    """Write what each op costs beside it, and what stopping at each exit costs: MACs, bytes.

    Before:
        argument %x : tensor<Nx3x4x4xf32>
        weight @w : tensor<5x3x1x1xf32>
        %0 = nn.conv %x, @w : tensor<Nx5x4x4xf32>
        %1 = nn.relu %0 : tensor<Nx5x4x4xf32>
    After:
        %0 = nn.conv %x, @w !{macs = 240, weight_bytes = 60, activation_bytes = 320} : tensor<Nx5x4x4xf32>
        %1 = nn.relu %0 !{macs = 0, weight_bytes = 0, activation_bytes = 320} : tensor<Nx5x4x4xf32>
    """

    ensures: ClassVar[frozenset[str]] = frozenset({"costs"})

    def run(self, module: Module, ctx: Context) -> bool:
        """Changed where a note was."""
        changed = annotate(module)
        opaque = sorted({op.op_type for op in module.ops() if isinstance(op, Opaque)})
        if opaque:
            ctx.progress.warn(f"the cost of these ONNX operators is not counted: {', '.join(opaque)}")
        return changed


def annotate(module: Module) -> bool:
    """Write the costs into the notes of all ops and exits; returns whether any was another. Raises as `module_cost`."""
    cost = module_cost(module)
    noted = [_note(op, op_cost(op)) for op in module.ops()]
    for op, of_exit in zip(exits_of(module.main), cost.exits, strict=True):
        noted.append(_set(op, {"macs_to_here": of_exit.path.macs, "peak_bytes_to_here": of_exit.path.peak_bytes}))
    return any(noted)


def _note(op: Op, cost: OpCost) -> bool:
    return _set(op, {"macs": cost.macs, "weight_bytes": cost.weight_bytes, "activation_bytes": cost.activation_bytes})


def _set(op: Op, notes: dict[str, Attr]) -> bool:
    changed = any(op.notes.get(name) != value for name, value in notes.items())
    op.notes.update(notes)
    return changed


def _macs(module: Module, ops: Iterable[Op]) -> int:
    return sum(_macs(module, module.graphs[op.callee].ops) if isinstance(op, Call) else op.macs() for op in ops)


def _weights_size(ops: Iterable[Op]) -> tuple[int, int]:
    """(parameters, bytes of all weights), each weight once."""
    weights = {value: op for op in ops for value in op.inputs if isinstance(value, Weight)}
    # an integer network's floats are scales, a float network's integers are shapes
    counted = (w for w, op in weights.items() if w.type.dtype.is_float != op.name.startswith("q."))
    return sum(weight.array.size for weight in counted), sum(weight.array.nbytes for weight in weights)


def _bytes(value: Value) -> int:
    return 0 if isinstance(value, Weight) or not value.type.known else value.type.bytes()


def _made(op: Op) -> Sequence[Value]:
    """The results that take memory of their own."""
    return () if isinstance(op, Exit) else op.results


def _cost(graph: Graph, ops: Sequence[Op], wanted: Sequence[Value]) -> GraphCost:
    params, weight_bytes = _weights_size(ops)
    return GraphCost(
        macs=sum(op.macs() for op in ops),
        params=params,
        weight_bytes=weight_bytes,
        activation_bytes=sum(_bytes(value) for op in ops for value in _made(op)),
        peak_bytes=max(_live(graph, ops, wanted), default=0),
    )


def _live(graph: Graph, ops: Sequence[Op], wanted: Sequence[Value]) -> Iterator[int]:
    """Bytes that live at each op."""
    carried: dict[Value, Value] = {}
    for op in ops:
        if isinstance(op, Exit):
            carried.update(
                (result, carried.get(value, value)) for result, value in zip(op.results, op.carry, strict=True)
            )

    def root(value: Value) -> Value:
        return carried.get(value, value)

    last: dict[Value, int] = {}
    for index, op in enumerate(ops):
        last.update((root(value), index) for value in op.inputs)
    last.update((root(value), len(ops)) for value in wanted)
    ending: dict[int, list[Value]] = {}
    for value, index in last.items():
        ending.setdefault(index, []).append(value)
    live = sum(_bytes(argument) for argument in graph.arguments)
    yield live
    for index, op in enumerate(ops):
        live += sum(_bytes(result) for result in _made(op))
        yield live
        live -= sum(_bytes(value) for value in ending.get(index, ()))
        live -= sum(_bytes(result) for result in _made(op) if result not in last)
