"""Whether a network fits a device's memories."""

from __future__ import annotations

from eennc.devices import Device
from eennc.ir.cuts import without_exits
from eennc.ir.flat import flatten
from eennc.ir.graph import Graph, Module
from eennc.ir.op import Op
from eennc.ir.values import Weight
from eennc.passes.base import Context
from eennc.passes.exits.form_segments import FormSegments
from eennc.passes.layout.channels_last import ChannelsLast
from eennc.passes.memory.lifetimes import lifetimes
from eennc.passes.memory.plan_memory import MemoryPlan
from eennc.passes.target import Target
from eennc.support.diagnostics import UserError

HINT = (
    "choose another --device, smaller heads (insert-exits: {grid: 2, hidden: 32}), or int8: calibrate and quantize-int8"
)


def check_fit(module: Module, device: Device, target: Target) -> None:
    """Raise UserError where the base network alone cannot fit: its weights the flash, its tensors the memory. Which
    exits will stay is not known yet.
    """
    base = without_exits(module.main)
    _check_flash(base, device, "the base network's")
    if device.ram is None or module.stage == "segmented":
        return
    copy = Module(module.name, base.copy(), stage=module.stage, attributes=module.attributes)
    for p in (ChannelsLast(), FormSegments()):
        p.run(copy, Context())
    flat = flatten(copy)
    found = lifetimes(flat, target, in_place=True)
    _check_ram(found.bound, device, _named(flat.steps[min(found.worst, len(flat.steps) - 1)].op), "at least ")


def check_plan_fits(module: Module, plan: MemoryPlan, device: Device) -> None:
    """Raise UserError where the planned network does not fit."""
    whole = Graph("all", [], [op for graph in module.graphs.values() for op in graph.ops])
    _check_flash(whole, device, "the network's")
    _check_ram(plan.arena, device, plan.worst, "")


def _check_flash(graph: Graph, device: Device, whose: str) -> None:
    size = sum(weight.array.nbytes for weight in graph.weights())
    if device.flash is not None and size > device.flash:
        largest = max(graph.ops, key=lambda op: sum(w.array.nbytes for w in op.inputs if isinstance(w, Weight)))
        raise UserError(
            f"{whose} weights take {size:,} bytes, {size - device.flash:,} more than the {device.flash:,} bytes of "
            f"flash of {device.name}; most of them at {_named(largest)}",
            hint=HINT,
        )


def _check_ram(size: int, device: Device, worst: str, at_least: str) -> None:
    if device.ram is not None and size > device.ram:
        raise UserError(
            f"the tensors take {at_least}{size:,} bytes, {size - device.ram:,} more than the {device.ram:,} bytes of "
            f"memory of {device.name}; most live together at {worst}",
            hint=HINT,
        )


def _named(op: Op) -> str:
    """An op by the node that it came from; heads have none."""
    return f"{op.name} ({op.origin})" if op.origin.node else f"{op.name} of an exit's head"
