"""plan-memory: against brute force, the checker against broken plans, lifetimes across exits."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quantised_eenns import quantised
from random_eenns import eenn

from eennc.backends.cortexm import CortexmBackend
from eennc.ir.cuts import without_exits
from eennc.ir.flat import flatten
from eennc.ir.graph import Graph, Module
from eennc.ir.ops.conv import Conv
from eennc.ir.ops.exit import Exit
from eennc.ir.types import TensorType
from eennc.ir.values import Argument, Weight
from eennc.passes.base import Context
from eennc.passes.exits.form_segments import FormSegments
from eennc.passes.layout.channels_last import ChannelsLast
from eennc.passes.memory import ARENA, OFFSET, SCRATCH
from eennc.passes.memory.check import PlanError, check_plan
from eennc.passes.memory.lifetimes import Buffer, lifetimes
from eennc.passes.memory.placement import place
from eennc.passes.memory.plan_memory import MemoryPlan, PlanMemory, plan_memory
from eennc.passes.target import Target
from eennc.support.diagnostics import UserError

buffers = st.lists(
    st.tuples(st.integers(1, 6), st.integers(0, 5), st.integers(0, 3)).map(lambda b: Buffer(b[0], b[1], b[1] + b[2])),
    min_size=1,
    max_size=6,
)


def target(device: str = "cortex-m4") -> Target:
    found = CortexmBackend(device=device).target()
    assert found is not None
    return found


def segmented(module: Module) -> Module:
    module = module.copy()
    for p in (ChannelsLast(), FormSegments()):
        p.run(module, Context())
    return module


def bound_of(found: list[Buffer]) -> int:
    return max(sum(b.size for b in found if b.first <= step <= b.last) for step in range(10))


def apart(found: list[Buffer], offsets: list[int]) -> bool:
    return all(
        a.last < b.first or b.last < a.first or x + a.size <= y or y + b.size <= x
        for (a, x), (b, y) in itertools.combinations(zip(found, offsets, strict=True), 2)
    )


@given(buffers)
def test_buffers_that_live_together_do_not_overlap(found: list[Buffer]) -> None:
    offsets, arena = place(found, bound_of(found))
    assert apart(found, offsets)
    assert arena == max(at + b.size for b, at in zip(found, offsets, strict=True))
    assert arena >= bound_of(found)


@given(buffers.filter(lambda found: len(found) <= 4 and sum(b.size for b in found) <= 12))
def test_small_plans_are_the_best_there_are(found: list[Buffer]) -> None:
    total = sum(b.size for b in found)
    best = min(
        max(at + b.size for b, at in zip(found, offsets, strict=True))
        for offsets in itertools.product(*(range(total - b.size + 1) for b in found))
        if apart(found, list(offsets))
    )
    assert place(found, bound_of(found))[1] == best


@pytest.mark.parametrize("integers", [True, False])
@pytest.mark.parametrize("device", ["cortex-m0", "cortex-m4", "cortex-m55"])
def test_a_plan_reaches_its_bound_and_is_sound(integers: bool, device: str) -> None:
    module = segmented(quantised(eenn(1, 3, rule="margin"), 2) if integers else eenn(1, 3))
    on = target(device)
    plan = plan_memory(module, on)
    check_plan(module, on)
    assert module.attributes[ARENA] == plan.arena
    assert plan.bound <= plan.arena <= 1.1 * plan.bound


def test_a_head_and_the_next_segment_share_memory() -> None:
    module = quantised(eenn(2, 3, rule="margin"), 2)
    whole = segmented(module)
    on = target()
    arena = plan_memory(whole, on).arena
    base = without_exits(module.main)
    alone = plan_memory(segmented(Module("base", base, stage="quantised")), on).arena
    heads = [step.op.result.type.bytes() for step in flatten(whole).steps if step.function.startswith("head")]
    assert arena < alone + sum(heads)


def test_writing_over_an_operand_saves_memory() -> None:
    x = Argument("x", TensorType(("N", 8, 6, 5), layout=None))
    weight = Weight("w", np.ones((8, 8, 1, 1), np.float32))
    first = Conv(x=x, weight=weight)
    second = Conv(x=first.result, weight=weight)
    module = segmented(Module("chain", Graph("main", [x], [first, second], [second.result])))
    shared, own = (lifetimes(flatten(module), target(), in_place=flag).bound for flag in (True, False))
    # the transposed input, the map of both convolutions, and two windows
    assert (shared, own) == (2 * 960, 2 * 960 + 64)
    assert plan_memory(module, target()).arena == shared


def planned() -> Module:
    module = segmented(quantised(eenn(3, 2, rule="margin"), 2))
    plan_memory(module, target())
    check_plan(module, target())
    return module


def test_the_checker_finds_every_tensor_that_is_moved_onto_another() -> None:
    on = target()
    module = planned()
    caught = 0
    for step in flatten(module).steps:
        if isinstance(step.op, Exit) or OFFSET not in step.op.notes:
            continue
        (old,) = step.op.notes[OFFSET]
        for at in range(0, int(module.attributes[ARENA]), on.alignment):
            step.op.notes[OFFSET] = (at,)
            if not sound(module, on):
                caught += 1
            else:
                # a place that nothing else needs meanwhile
                assert independent(module, on)
        step.op.notes[OFFSET] = (old,)
    assert caught > 20
    assert sound(module, on)


def sound(module: Module, on: Target) -> bool:
    try:
        check_plan(module, on)
    except PlanError:
        return False
    return True


def independent(module: Module, on: Target) -> bool:
    """Lifetimes, compared pairwise, in place of the checker's play."""
    flat = flatten(module)
    root = {}
    spans: dict[object, list[int]] = {}
    for number, step in enumerate(flat.steps):
        for value in step.takes:
            mine = root.get(value, value)
            if mine in spans:
                spans[mine][1] = number
        if step.makes and on.view(step.op):
            root[step.makes[0]] = root.get(step.takes[0], step.takes[0])
            continue
        for value in step.makes:
            spans[value] = [number, number]
    for value in flat.returns:
        if root.get(value, value) in spans:
            spans[root.get(value, value)][1] = len(flat.steps)
    placed = [(v, v.op.notes[OFFSET][v.index], *span) for v, span in spans.items()]
    for (a, x, a0, a1), (b, y, b0, b1) in itertools.combinations(placed, 2):
        if x < y + b.type.bytes() and y < x + a.type.bytes() and a0 <= b1 and b0 <= a1:
            first, second = (a, b) if a0 < b0 else (b, a)
            step = flat.steps[max(a0, b0)]
            if not (min(a1, b1) == max(a0, b0) and x == y and on.in_place(step.op)):
                return False
            taken = [root.get(step.takes[i], step.takes[i]) for i in on.in_place(step.op)]
            if first not in taken or second.type.bytes() > first.type.bytes():
                return False
    return True


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda op, arena: op.notes.update({OFFSET: (2,)}), "multiple of 4"),
        (lambda op, arena: op.notes.update({OFFSET: (arena,)}), "the arena has"),
        (lambda op, arena: op.notes.update({OFFSET: (-4,)}), "the arena has"),
        (lambda op, arena: op.notes.pop(OFFSET), "0 places"),
        (lambda op, arena: op.notes.pop(SCRATCH), "no scratch memory"),
        (lambda op, arena: op.notes.update({SCRATCH: op.notes[OFFSET][0]}), "scratch memory at .* overlaps"),
    ],
)
def test_the_checker_says_what_is_wrong(change, message: str) -> None:
    module = planned()
    op = next(step.op for step in flatten(module).steps if SCRATCH in step.op.notes)
    change(op, module.attributes[ARENA])
    with pytest.raises(PlanError, match=message):
        check_plan(module, target())


def test_the_pass_asks_the_backend() -> None:
    module = segmented(eenn(0, 1))
    with pytest.raises(UserError, match="plans no memory"):
        PlanMemory().run(module, Context())
    ctx = Context(target=target())
    assert PlanMemory().run(module, ctx)
    assert ctx.results.get(MemoryPlan).arena == module.attributes[ARENA]
