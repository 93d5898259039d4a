"""Measures a C artefact on an emulated core, against its base network."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eennc.artifact import CSpec, Manifest
from eennc.data.splits import Split
from eennc.devices import device_named
from eennc.ir.ops.q_quantize import Quantize
from eennc.ir.rules import STREAM
from eennc.ir.types import Array, TensorType
from eennc.ir.values import Argument
from eennc.runtime.emulator.build import Flash
from eennc.runtime.emulator.cycles import MODELS
from eennc.runtime.emulator.session import Emulated, emulate
from eennc.runtime.session import point_number
from eennc.support.instruments import Progress, task

BASE_SAMPLES = 3
"""How many the base network runs where there are no labels."""


@dataclass(frozen=True)
class CoreExit:
    """One exit, or the last classifier. samples: how many stop there; share: of all; accuracy: of those, None without
    labels or samples; instructions, cycles: mean of those, None where there are none.
    """

    exit: int
    place: str
    samples: int
    share: float
    accuracy: float | None
    instructions: float | None
    cycles: float | None


@dataclass(frozen=True)
class CoreMeasurement:
    """What was measured on n samples. instructions and cycles per inference: mean and worst; of the base network: mean.
    saved: 1 - mean instructions over the base network's; predicted_saved: the same of what was predicted for the exits
    that these samples took, None where nothing was predicted. cycles_source: how cycles were estimated; None for cores
    of which no table tells them. Flash and memory in bytes; stack is what the deepest run took.
    """

    device: str
    core: str
    point: str
    samples: int
    accuracy: float | None
    base_accuracy: float | None
    exits: tuple[CoreExit, ...]
    instructions_mean: float
    instructions_worst: int
    base_instructions: float
    saved: float
    predicted_mean: float | None
    predicted_saved: float | None
    cycles_mean: float | None
    cycles_worst: int | None
    cycles_source: str | None
    flash: Flash
    arena: int
    arena_bound: int
    stack: int


def measure_on_core(
    folder: Path,
    manifest: Manifest,
    spec: CSpec,
    split: Split,
    *,
    device: str | None = None,
    point: str | None = None,
    progress: Progress,
) -> CoreMeasurement:
    """Run all samples through the early-exit network and some through the base network.

    device: another than the artefact was planned for; its code runs on any core. point: an operating point by name.
    Raises UserError as `emulate` does, and for an unknown device or operating point.
    """
    on = device_named(device or spec.device)
    number = 0 if point is None else point_number(point, spec.points)
    x = _taken(split.x, spec)
    starts = split.starts if any(exit.rule == STREAM for exit in manifest.exits) else None
    # what the base network executes hardly depends on the sample, whether it is right does
    base_x = x if split.y is not None else x[:BASE_SAMPLES]
    with task(progress, f"on {on.name}", 2) as step, ThreadPoolExecutor(2) as both:
        runs = [
            both.submit(emulate, folder, spec, manifest.classes, samples, on, point=at, starts=starts)
            for samples, at in ((x, number), (base_x, None))
        ]
        for run in as_completed(runs):
            run.result()
            progress.advance(step, 1)
        eenn, base = (run.result() for run in runs)
    right = None if split.y is None else eenn.classes == split.y
    mean, base_mean = float(eenn.instructions.mean()), float(base.instructions.mean())
    predicted = None
    if spec.predicted is not None and on.name == spec.device:
        predicted = float(np.array(spec.predicted)[eenn.exit].mean())
    source = MODELS[on.core].source if eenn.cycles is not None and on.core in MODELS else None
    return CoreMeasurement(
        device=on.name,
        core=on.core or "",
        point=spec.points[number],
        samples=len(x),
        accuracy=None if right is None else float(right.mean()),
        base_accuracy=None if split.y is None else float((base.classes == split.y).mean()),
        exits=tuple(_exit(k, manifest, eenn, right) for k in range(len(manifest.exits) + 1)),
        instructions_mean=mean,
        instructions_worst=int(eenn.instructions.max()),
        base_instructions=base_mean,
        saved=1 - mean / base_mean,
        predicted_mean=predicted,
        predicted_saved=1 - predicted / spec.predicted_base if predicted and spec.predicted_base else None,
        cycles_mean=None if eenn.cycles is None else float(eenn.cycles.mean()),
        cycles_worst=None if eenn.cycles is None else int(eenn.cycles.max()),
        cycles_source=source,
        flash=eenn.flash,
        arena=spec.arena_bytes,
        arena_bound=spec.arena_bound,
        stack=max(eenn.stack, base.stack),
    )


def _taken(x: Array, spec: CSpec) -> Array:
    """Samples as the code takes them: where it takes the integers that stand for floats, floats are quantised."""
    if spec.input_scale is None or x.dtype.name == spec.input_dtype:
        return x
    quantize = Quantize(
        x=Argument("x", TensorType(("N", *x.shape[1:]))),
        scale=spec.input_scale,
        zero_point=spec.input_zero_point,
    )
    return quantize.evaluate(x)


def _exit(number: int, manifest: Manifest, found: Emulated, right: NDArray[np.bool_] | None) -> CoreExit:
    here = found.exit == number
    place = manifest.exits[number].place if number < len(manifest.exits) else "classifier"
    if not here.any():
        return CoreExit(number, place, 0, 0.0, None, None, None)
    return CoreExit(
        exit=number,
        place=place,
        samples=int(here.sum()),
        share=float(here.mean()),
        accuracy=None if right is None else float(right[here].mean()),
        instructions=float(found.instructions[here].mean()),
        cycles=None if found.cycles is None else float(found.cycles[here].mean()),
    )
