"""plan-memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from eennc.ir.flat import flatten
from eennc.ir.graph import Module
from eennc.passes.base import Context, Pass
from eennc.passes.memory import ARENA, OFFSET, SCRATCH
from eennc.passes.memory.check import check_plan
from eennc.passes.memory.lifetimes import Lifetimes, lifetimes
from eennc.passes.memory.placement import place
from eennc.passes.target import Target
from eennc.support.diagnostics import UserError


@dataclass(frozen=True)
class MemoryPlan:
    """What plan-memory found, in bytes: the arena, and the lower bound, which is what lives together at the worst step.
    `worst`: the op of that step, by its origin.
    """

    arena: int
    bound: int
    worst: str


@dataclass(frozen=True)
class PlanMemory(Pass):
    """Give every tensor and every kernel's scratch memory a place in one arena.

    Tensors share memory where their lifetimes allow: what an exit's head needs is free again for the next segment, and
    an op writes over an operand that nothing needs afterwards where the device's kernel can. The plan is then checked
    by playing the network through.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"segments"})
    ensures: ClassVar[frozenset[str]] = frozenset({"memory"})

    def run(self, module: Module, ctx: Context) -> bool:
        """Write offsets into the ops' notes and the arena's size into the module. Raises UserError where the backend
        has no memory to plan.
        """
        if ctx.target is None:
            raise UserError("plan-memory: the backend plans no memory", hint="it is for backends such as cortexm")
        plan = plan_memory(module, ctx.target)
        check_plan(module, ctx.target)
        ctx.results.put(plan)
        return True


def plan_memory(module: Module, target: Target) -> MemoryPlan:
    """Plan a segmented module, with and without writing over operands, and keep what is smaller."""
    flat = flatten(module)
    tried: list[tuple[int, Lifetimes, list[int]]] = []
    for in_place in (True, False):
        found = lifetimes(flat, target, in_place=in_place)
        offsets, arena = place(found.buffers, found.bound)
        tried.append((arena, found, offsets))
    arena, best, offsets = min(tried, key=lambda plan: plan[0])
    at = {id(buffer): offset for buffer, offset in zip(best.buffers, offsets, strict=True)}
    places = {value: at[id(buffer)] for buffer in best.buffers for value in buffer.values}
    for number, step in enumerate(flat.steps):
        step.op.notes.pop(SCRATCH, None)
        step.op.notes.pop(OFFSET, None)
        if number in best.scratch:
            step.op.notes[SCRATCH] = at[id(best.scratch[number])]
        if step.makes and not target.view(step.op):
            step.op.notes[OFFSET] = tuple(places[value] for value in step.makes)
    module.attributes[ARENA] = arena
    worst = flat.steps[min(best.worst, len(flat.steps) - 1)].op
    return MemoryPlan(arena, min(found.bound for _, found, _ in tried), str(worst.origin) or worst.name)
