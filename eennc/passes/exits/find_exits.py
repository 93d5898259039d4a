"""find-exits."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Le

from eennc.ir.graph import Graph, Module
from eennc.ir.op import Op
from eennc.ir.ops.candidate import Candidate
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.opaque import Opaque
from eennc.ir.types import BATCH, DType
from eennc.ir.values import Result, Value
from eennc.passes.base import Context, Pass
from eennc.passes.exits.classifier import find_classifier, prepare_scores
from eennc.passes.exits.flow import Link, chain_of, computes, fed, is_gate
from eennc.support.diagnostics import UserError, did_you_mean

_LAYING_OUT = frozenset(f"nn.{name}" for name in ("flatten", "reshape", "squeeze", "transpose"))


@dataclass(frozen=True)
class FindExits(Pass):
    """Mark the tensors behind which an exit may stand: all later work flows through them, and a block ends there.

    They are dominators of the output, so never inside a residual block or between parallel branches, and stand behind
    activation, normalisation and pooling. A depthwise convolution and the pointwise ones around it are one block, and a
    pointwise convolution that narrows begins one. Also finds the classifier, and sets the module's attributes `classes`
    and `scores`.

    Before:
        argument %x : tensor<Nx2x4x4xf32>
        weight @b : tensor<4x4x3x3xf32>
        %0 = nn.conv %x, @a : tensor<Nx4x4x4xf32> loc("m.onnx", "/block1/Conv")
        %1 = nn.relu %0 : tensor<Nx4x4x4xf32> loc("m.onnx", "/block1/Relu")
        %2 = nn.conv %1, @b {pads = [1, 1, 1, 1]} : tensor<Nx4x4x4xf32> loc("m.onnx", "/block2/Conv")
        %3 = nn.flatten %2 : tensor<Nx64xf32>
        %4 = nn.dense %3, @c : tensor<Nx3xf32>
    After:
        module stage imported attributes {classes = 3, scores = "logits"}
        %0 = nn.conv %x, @a : tensor<Nx4x4x4xf32> loc("m.onnx", "/block1/Conv")
        %1 = nn.relu %0 : tensor<Nx4x4x4xf32> loc("m.onnx", "/block1/Relu")
        ee.candidate %1 {place = "block1"} loc("m.onnx", "/block1/Relu", "find-exits")
        %2 = nn.conv %1, @b {pads = [1, 1, 1, 1]} : tensor<Nx4x4x4xf32> loc("m.onnx", "/block2/Conv")
        %3 = nn.flatten %2 : tensor<Nx64xf32>
        %4 = nn.dense %3, @c : tensor<Nx3xf32>
        return %4
    """

    ensures: ClassVar[frozenset[str]] = frozenset({"candidates"})

    places: tuple[str, ...] = ()
    """Names, or patterns such as `layer2.*`, of the places to keep; all where empty."""
    min_saving: Annotated[float, Ge(0), Le(1)] = 0.02
    """A place is left out where less than this share of all MACs comes after it."""
    min_gap: Annotated[float, Ge(0), Le(1)] = 0.01
    """A place is left out where less than this share of all MACs lies between it and the place before."""

    def run(self, module: Module, ctx: Context) -> bool:
        """Add the marks; those that are there already stay."""
        if module.stage != "imported":
            raise UserError(f"find-exits: the module is in stage '{module.stage}', its exits are placed already")
        main = module.main
        changed = prepare_scores(module)
        marked = {op.x: op.place for op in main.ops if isinstance(op, Candidate)}
        found = places_of(main, self.min_saving, self.min_gap, taken=marked.values())
        if not found:
            raise UserError("no place for an exit: " + _reason(main), hint=self._advice())
        kept = self._selected(found)
        marks: dict[Op, tuple[Op, ...]] = {}
        for name, value in found.items():
            if name in kept and value not in marked:
                maker = value.op
                marks[maker] = (maker, Candidate(x=value, place=name, origin=maker.origin.via(self.name)))
        main.rewrite(marks, {})
        return changed or bool(marks)

    def _advice(self) -> str:
        return f"min_saving is {self.min_saving} and min_gap {self.min_gap}; 0 allows every place that there is"

    def _selected(self, found: dict[str, Result]) -> set[str]:
        kept: set[str] = set()
        for pattern in self.places:
            matching = [pattern] if pattern in found else [name for name in found if fnmatch.fnmatchcase(name, pattern)]
            if not matching:
                raise UserError(
                    f"find-exits: no place is called '{pattern}'",
                    allowed=f"places: {', '.join(found)}",
                    hint=did_you_mean(pattern, found),
                )
            kept.update(matching)
        return kept or set(found)


@dataclass
class _Run:
    """Dominators one behind the other with no real work between them.

    `first` is the number of the first in the chain; `work` the ops that compute before it, `following` those behind.
    """

    first: int
    values: list[Value]
    work: list[Op]
    following: list[Op]


def places_of(
    main: Graph, min_saving: float = 0, min_gap: float = 0, *, taken: Collection[str] = ()
) -> dict[str, Result]:
    """The places where an exit may stand, by name, in the order of the data flow. Names in `taken` are not given.

    Opaque ops that compute count as worth saving, whatever they cost.
    """
    chain = chain_of(main)
    from_input = fed(main)
    classifier = find_classifier(main).op
    runs = _runs(chain, from_input)
    work = [[op for op in link.ops if computes(op, from_input)] for link in chain]
    macs = [sum(_macs(op) for op in link.ops) for link in chain]
    total = sum(macs)
    found: dict[str, Result] = {}
    last = 0
    for number, run in enumerate(runs):
        value = _end(run.values, main)
        if value is None or not run.following or not number:
            continue
        if classifier in run.following and _is_vector(run.values[-1]):
            continue  # what follows is the classifier's own reduction, or the classifier itself
        if _inside_block(runs, number):
            continue
        here = run.first + run.values.index(value)
        saved, gap = slice(here, None), slice(last, here)
        worth = sum(macs[saved]) >= min_saving * total or _has_opaque(work[saved])
        # the first place is far from none
        apart = not found or sum(macs[gap]) >= min_gap * total or _has_opaque(work[gap])
        if worth and apart:
            found[_unique(place_name(value.op), {*found, *taken})] = value
            last = here
    return found


def _runs(chain: Sequence[Link], from_input: set[Value]) -> list[_Run]:
    runs = [_Run(0, [chain[0].value], [], [])]
    for index in range(len(chain) - 1):
        link, after = chain[index], chain[index + 1]
        work = [op for op in link.ops if computes(op, from_input)]
        if work and not is_gate(link, after):
            runs[-1].following = work
            runs.append(_Run(index + 1, [after.value], work, []))
        else:
            runs[-1].values.append(after.value)
    return runs


def _macs(op: Op) -> int:
    try:
        return op.macs()
    except ValueError:
        raise UserError(
            f"the size of what {op.name} ({op.origin}) makes is not known", hint="put canonicalise before find-exits"
        ) from None


def _has_opaque(work: Sequence[Sequence[Op]]) -> bool:
    return any(isinstance(op, Opaque) for ops in work for op in ops)


def _end(values: Sequence[Value], main: Graph) -> Result | None:
    """The last value of a run that a head can start from; before the map is laid out for dense layers, if it is."""
    usable = list(values)
    if _is_vector(values[-1]):
        for index, value in enumerate(values):
            if isinstance(value, Result) and index:
                shrinks = _is_vector(value) and not _is_vector(values[index - 1])
                if value.op.name in _LAYING_OUT or shrinks:
                    usable = usable[:index]
                    break
    batch = main.arguments[0].type.shape[0]
    for value in reversed(usable):
        type = value.type
        static = type.rank >= 2 and all(isinstance(dim, int) for dim in type.shape[1:])
        if isinstance(value, Result) and type.dtype is DType.F32 and static and type.shape[0] == batch:
            return value
    return None


def _is_vector(value: Value) -> bool:
    return value.type.rank <= 2 or all(dim == 1 for dim in value.type.shape[2:])


def _inside_block(runs: Sequence[_Run], number: int) -> bool:
    """Whether a run stands within [expanding pointwise,] depthwise, pointwise convolution, or behind the narrowing
    pointwise convolution that begins a block.
    """
    run = runs[number]
    before, after = _kind(run.work), _kind(run.following)
    if (before, after) == ("depthwise", "pointwise"):
        return True
    if before != "pointwise" or number == 1 or _kind(runs[number - 1].work) == "depthwise":
        return False
    channels, made = (value.type.shape[1] for value in (run.work[0].inputs[0], run.values[0]))
    pooled = run.values[-1].type.shape != run.values[0].type.shape
    return after == "depthwise" or (int(made) < int(channels) and not pooled)


def _kind(work: Sequence[Op]) -> str:
    if len(work) == 1 and isinstance(work[0], Conv):
        conv = work[0]
        if 1 < conv.groups == conv.x.type.shape[1]:
            return "depthwise"
        if set(conv.kernel) == {1}:
            return "pointwise"
    return ""


def _reason(main: Graph) -> str:
    batch = main.arguments[0].type.shape[0]
    floats = {value.type.dtype for op in main.ops for value in op.results if value.type.dtype.is_float}
    if DType.F32 not in floats:
        return f"heads need f32 tensors, the network works in {', '.join(sorted(floats))}"
    if batch == BATCH and any(op.name.startswith("shape.") for op in main.ops):
        return "no tensor carries all that follows; the network computes shapes at run time (canonicalise first)"
    return "no tensor on the way carries all that follows and leaves work worth saving"


def place_name(op: Op) -> str:
    """`layer2.1` from '/layer2/layer2.1/Relu_1'; the node's own name where it is in no folder."""
    parts = [part for part in op.origin.node.split("/") if part]
    return parts[-2] if len(parts) > 1 else parts[0] if parts else op.name.removeprefix("nn.")


def _unique(name: str, taken: Collection[str]) -> str:
    if name not in taken:
        return name
    number = 1
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"
