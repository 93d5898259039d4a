"""The heads of a module as the trainer sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eennc.ir.cuts import exit_free, exits_of
from eennc.ir.graph import Graph, Module
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.exit import Exit
from eennc.ir.ops.softmax import Softmax
from eennc.ir.types import Array
from eennc.ir.values import Result, Value, Weight
from eennc.support.diagnostics import UserError


@dataclass(frozen=True)
class Head:
    """One head: its `exit`, the reduced `features` [N, F] it starts from, and its dense `layers` in order.

    All layers but the last have a ReLU.
    """

    exit: Exit
    features: Value
    layers: tuple[Dense, ...]

    @property
    def number(self) -> int:
        """The exit's number."""
        return self.exit.exit

    @property
    def place(self) -> str:
        """The exit's place."""
        return self.exit.place

    @property
    def width(self) -> int:
        """Number of features."""
        return int(self.features.type.shape[1])

    @property
    def hidden(self) -> tuple[int, ...]:
        """Widths of the hidden layers."""
        return tuple(int(layer.weight.type.shape[0]) for layer in self.layers[:-1])


def heads_of(module: Module) -> list[Head]:
    """The heads in order of their exits; raises UserError for one that is not dense layers on [N, features]."""
    return [_head(exit) for exit in exits_of(module.main)]


def _head(exit: Exit) -> Head:
    layers: list[Dense] = []
    value: Value = exit.scores
    if isinstance(value, Result) and isinstance(value.op, Softmax):
        value = value.op.x
    while isinstance(value, Result) and isinstance(value.op, Dense) and value.op.notes.get("head") == exit.exit:
        layers.insert(0, value.op)
        value = value.op.x
    fits = [layer.activation for layer in layers] == ["relu"] * (len(layers) - 1) + ["none"]
    if not layers or not fits or value.type.rank != 2 or any(layer.bias is None for layer in layers):
        raise UserError(
            f"exit {exit.exit} ('{exit.place}') has a head that train-exits cannot train",
            hint="heads made by insert-exits are dense layers with a bias on [N, features]",
        )
    return Head(exit, value, tuple(layers))


def set_head_weights(module: Module, number: int, arrays: Mapping[str, Array]) -> None:
    """Give weights of head `number` other contents, by name.

    Raises ValueError for a name that is not one of the head's weights, or an array of another shape or dtype.
    """
    layers = heads_of(module)[number].layers
    weights = {w.name: w for layer in layers for w in layer.inputs[1:] if isinstance(w, Weight)}
    for name, array in arrays.items():
        if name not in weights:
            raise ValueError(f"head {number} has no weight '{name}', only {', '.join(weights)}")
        if Weight(name, array).type != weights[name].type:
            raise ValueError(f"weight '{name}' is {weights[name].type}, not {Weight(name, array).type}")
    module.main.substitute({weights[name]: Weight(name, array) for name, array in arrays.items()})


def reduction_graph(module: Module) -> Graph:
    """An exit-free graph from the input to every head's features, and to the network's own scores as the last."""
    return exit_free(module.main, [*(head.features for head in heads_of(module)), *module.main.returns])
