"""find-exits."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import Annotated, ClassVar, Protocol, cast

import networkx as nx
from annotated_types import Ge, Le

from eennc.ir.graph import Graph, Module
from eennc.ir.op import Op
from eennc.ir.ops.candidate import Candidate
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.opaque import Opaque
from eennc.ir.ops.reshape import Reshape
from eennc.ir.values import Result, Value
from eennc.passes.base import Context, Pass
from eennc.passes.exits.classifier import find_classifier
from eennc.support.diagnostics import UserError, did_you_mean


@dataclass(frozen=True)
class FindExits(Pass):
    """Mark the tensors behind which an exit may stand: all later work flows through them, a block ends there.

    They are the dominators of the output; never inside a residual block or between parallel branches. Also finds the
    classifier, and sets the module's attributes `classes` and `scores`.

    Before:
        graph @main(%input: tensor<Nx2x4x4xf32>) -> tensor<Nx3xf32> {
          %0 = nn.conv %input, @a : tensor<Nx4x4x4xf32> loc("m.onnx", "/a/Conv")
          %1 = nn.relu %0 : tensor<Nx4x4x4xf32> loc("m.onnx", "/a/Relu")
          %2 = nn.conv %1, @b : tensor<Nx4x4x4xf32> loc("m.onnx", "/b/Conv")
          %3 = nn.flatten %2 : tensor<Nx64xf32>
          %4 = nn.dense %3, @c : tensor<Nx3xf32>
          return %4
        }
    After:
        graph @main(%input: tensor<Nx2x4x4xf32>) -> tensor<Nx3xf32> {
          %0 = nn.conv %input, @a : tensor<Nx4x4x4xf32> loc("m.onnx", "/a/Conv")
          %1 = nn.relu %0 : tensor<Nx4x4x4xf32> loc("m.onnx", "/a/Relu")
          ee.candidate %1 {place = "a"}
          %2 = nn.conv %1, @b : tensor<Nx4x4x4xf32> loc("m.onnx", "/b/Conv")
          ee.candidate %2 {place = "b"}
          %3 = nn.flatten %2 : tensor<Nx64xf32>
          %4 = nn.dense %3, @c : tensor<Nx3xf32>
          return %4
        }
    """

    ensures: ClassVar[frozenset[str]] = frozenset({"candidates"})

    places: tuple[str, ...] = ()
    """Names, or patterns such as `layer2.*`, of the places to keep; all where empty."""
    min_saving: Annotated[float, Ge(0), Le(1)] = 0.02
    """A place is left out where less than this share of all MACs comes after it."""

    def run(self, module: Module, ctx: Context) -> bool:
        """Add the marks."""
        main = module.main
        _check_inputs(main)
        classifier = find_classifier(main)
        module.attributes["classes"] = classifier.classes
        module.attributes["scores"] = "probabilities" if classifier.probabilities else "logits"
        if classifier.output.type.rank > 2:
            batch = classifier.output.type.shape[0]
            flat = Reshape(x=classifier.output, shape=(batch if isinstance(batch, int) else -1, classifier.classes))
            main.add(flat)
            main.returns = [flat.result]
        found = places_of(main, self.min_saving)
        if not found:
            raise UserError(
                "no place for an exit: no tensor on the way carries all that follows and leaves work worth saving",
                hint=f"min_saving is {self.min_saving}; a smaller one allows later places",
            )
        kept = self._selected(found)
        names = {value: Candidate(x=value, place=name) for name, value in found.items() if name in kept}
        makers = {cast(Result, value).op: mark for value, mark in names.items()}
        main.rewrite({op: (op, mark) for op, mark in makers.items()}, {})
        return True

    def _selected(self, found: dict[str, Value]) -> set[str]:
        kept: set[str] = set()
        for pattern in self.places:
            matching = fnmatch.filter(found, pattern)
            if not matching:
                raise UserError(
                    f"find-exits: no place is called '{pattern}'",
                    allowed=f"places: {', '.join(found)}",
                    hint=did_you_mean(pattern, found),
                )
            kept.update(matching)
        return kept or set(found)


def _check_inputs(main: Graph) -> None:
    if len(main.arguments) != 1:
        names = ", ".join(f"'{argument.name}'" for argument in main.arguments)
        raise UserError(
            f"the model has {len(main.arguments)} inputs ({names})", hint="eennc takes models with one input"
        )


def places_of(main: Graph, min_saving: float) -> dict[str, Value]:
    """The places where an exit may stand, by name, in the order of the data flow."""
    users = main.users()
    after = _macs_after(main)
    total = sum(op.macs() for op in main.ops)
    found: dict[str, Value] = {}
    for value in dominators(main):
        if not isinstance(value, Result) or not _is_feature(value) or not _ends_block(value, users):
            continue
        rest = after[value.op]
        if 0 < rest < total and rest >= min_saving * total:
            found[_unique(_place_name(value.op), found)] = value
    return found


class _Dominators(Protocol):
    def __call__(self, graph: object, start: object) -> dict[object, object]: ...


def dominators(main: Graph) -> list[Value]:
    """The values that every path from the input to the output passes, in order, both ends included.

    Cooper, Harvey, Kennedy: A simple, fast dominance algorithm (2001), in networkx.
    """
    edges: list[tuple[object, object]] = []
    for op in main.ops:
        edges.extend((value, op) for value in op.inputs)
        edges.extend((op, result) for result in op.results)
    graph = nx.DiGraph(edges)
    start, end = main.arguments[0], main.returns[0]
    if start not in graph or not nx.has_path(graph, start, end):
        raise UserError("the output does not depend on the input", hint="check the model's graph")
    above = cast(_Dominators, vars(nx)["immediate_dominators"])(graph, start)
    chain: list[Value] = []
    at: object = end
    while at != start:
        if isinstance(at, Value):
            chain.append(at)
        at = above[at]
    return [start, *chain[::-1]]


def _is_feature(value: Result) -> bool:
    type = value.type
    return type.dtype.is_float and type.rank >= 2 and type.known and all(isinstance(dim, int) for dim in type.shape[1:])


def _ends_block(value: Result, users: dict[Value, list[Op]]) -> bool:
    """A block ends where the tensor forks, or where the next op is one that computes. A depthwise convolution and the
    pointwise one behind it are one block.
    """
    next_ops = users.get(value, [])
    if len(next_ops) == 1:
        only = next_ops[0]
        if not only.macs() and not isinstance(only, Opaque):
            # the pool and reshape before a classifier belong to it, so the place is before them
            return only.name in ("nn.flatten", "nn.reshape", "nn.global_average_pool")
        maker = _maker(value)
        pointwise = isinstance(only, Conv) and set(only.kernel) == {1}
        return not (pointwise and isinstance(maker, Conv) and 1 < maker.groups == maker.x.type.shape[1])
    return True


def _maker(value: Value) -> Op | None:
    """The op that made a value, seen through activations and normalisation."""
    while isinstance(value, Result) and value.op.name in ("nn.relu", "nn.clip", "nn.batch_norm", "nn.identity"):
        value = value.op.inputs[0]
    return value.op if isinstance(value, Result) else None


def _macs_after(main: Graph) -> dict[Op, int]:
    rest = sum(op.macs() for op in main.ops)
    after: dict[Op, int] = {}
    for op in main.ops:
        rest -= op.macs()
        after[op] = rest
    return after


def _place_name(op: Op) -> str:
    """`layer2.1` from '/layer2/layer2.1/Relu_1'; the node's own name where it is in no folder."""
    scope = op.notes.get("scope")
    if isinstance(scope, str) and scope:
        return scope
    parts = [part for part in op.origin.node.split("/") if part]
    return parts[-2] if len(parts) > 1 else parts[0] if parts else op.name.removeprefix("nn.")


def _unique(name: str, taken: dict[str, Value]) -> str:
    if name not in taken:
        return name
    number = 1
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"
