"""The head that a network's own classifier is an example of."""

from __future__ import annotations

from dataclasses import dataclass

from eennc.ir.graph import Graph
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.flatten import Flatten
from eennc.ir.ops.reshape import Reshape
from eennc.ir.values import Result, Value
from eennc.passes.exits.classifier import find_classifier
from eennc.passes.exits.reductions import Reduction

LARGEST_GRID = 16


@dataclass(frozen=True)
class Blueprint:
    """A head: widths of its hidden layers, how it pools the feature map, to how many cells a side."""

    hidden: tuple[int, ...]
    reduction: Reduction
    grid: int


def blueprint_of(main: Graph) -> Blueprint:
    """What the network's own classifier looks like, from its last dense op back to the last feature map.

    A map that the network flattens as it is gives a grid of its larger side, at most 16; a convolution as classifier
    gives one dense layer.
    """
    hidden: list[int] = []
    value: Value = find_classifier(main).op.inputs[0]
    while isinstance(value, Result) and value.type.rank == 2:
        op = value.op
        if isinstance(op, Dense):
            hidden.insert(0, int(value.type.shape[1]))
        elif isinstance(op, (Flatten, Reshape)):
            sides = [int(dim) for dim in op.x.type.shape[2:]]
            largest = isinstance(op.x, Result) and op.x.op.name == "nn.global_max_pool"
            return Blueprint(tuple(hidden), "max" if largest else "average", min(max([1, *sides]), LARGEST_GRID))
        elif op.macs() or op.inputs[0].type.rank > 2:
            break
        value = op.inputs[0]
    return Blueprint(tuple(hidden), "average", 1)
