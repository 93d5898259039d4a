"""Writes the C folder of a planned module."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import jinja2

from eennc.artifact import CSpec
from eennc.backends.cortexm.names import identifier, printable
from eennc.backends.cortexm.prediction import predict
from eennc.backends.cortexm.program import (
    Program,
    program_of,
    quant_fields,
    threshold_text,
)
from eennc.backends.cortexm.writer import C_TYPES, rows_of
from eennc.devices import Device
from eennc.ir.cuts import exits_of
from eennc.ir.graph import Module
from eennc.ir.ops.exit import Exit
from eennc.ir.rules import NEVER, STREAM
from eennc.ir.types import DType, TensorType
from eennc.passes.exits.points import operating_points
from eennc.passes.memory.plan_memory import MemoryPlan
from eennc.passes.target import Target

KERNELS = "eennc.backends.cortexm.kernels"
RUNTIME = "eennc.runtime"
TEMPLATES = "eennc.backends.cortexm.templates"


@dataclass(frozen=True)
class Choices:
    """What the user chose. name: of the symbols, None for the model's. floats: whether a quantised network takes and
    gives floats. counts: whether the answers of each exit are counted.
    """

    device: Device
    name: str | None
    floats: bool
    weights_section: str
    arena_section: str
    counts: bool


def write_folder(module: Module, plan: MemoryPlan, target: Target, choices: Choices, folder: Path) -> CSpec:
    """Write every file of the C folder; returns what its users have to know."""
    prefix = identifier(choices.name or module.name)
    program = program_of(module, prefix, floats=choices.floats)
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (files(TEMPLATES) / f"{name}.jinja").read_text(encoding="utf-8")),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    sources = _copy_sources(program, prefix, module, choices.device, folder)
    points = operating_points(module)
    values = {
        **_facts(module, program, plan, choices, prefix),
        **_decision(module, points),
        "sources": ["model.c", "weights.c", *sorted(name for name in sources if name.endswith(".c"))],
    }
    for name in ("model.h", "model.c", "weights.h", "weights.c", "CMakeLists.txt", "README.md"):
        text = environment.get_template(name).render(values)
        (folder / name).write_text(text, encoding="utf-8")
    for name, source in (("LICENSE", "LICENSE"), (".clang-tidy", "clang-tidy")):
        (folder / name).write_bytes((files(TEMPLATES) / source).read_bytes())
    given = program.input
    prediction = predict(module, target)
    return CSpec(
        prefix=prefix,
        device=choices.device.name,
        arena_bytes=plan.arena,
        arena_bound=plan.bound,
        input_dtype=given.dtype.numpy.name,
        input_scale=None if given.quant is None else given.quant.scale,
        input_zero_point=0 if given.quant is None else given.quant.zero_point,
        scores_dtype=program.scores.dtype.numpy.name,
        points=tuple(points),
        predicted=None if prediction is None else prediction.to_exit,
        predicted_base=None if prediction is None else prediction.base,
    )


def _copy_sources(program: Program, prefix: str, module: Module, device: Device, folder: Path) -> list[str]:
    """The kernels that are called, with the files that those need, and the runtime; all symbols get the prefix."""
    wanted = [f"{kernel}.c" for kernel in program.writer.kernels]
    wanted += [f"eennc_exit_{_suffix(program_scores(module))}.c"]
    homes: list[Traversable] = [files(KERNELS), files(RUNTIME) / "c"]
    found: dict[str, str] = {}
    while wanted:
        name = wanted.pop()
        if name in found or name == "eennc_names.h":
            continue
        home = next(home for home in homes if (home / name).is_file())
        found[name] = (home / name).read_text(encoding="utf-8")
        wanted += [line.split('"')[1] for line in found[name].splitlines() if line.startswith('#include "')]
        if name.endswith(".c"):
            wanted += [f"{file}.c" for file, calls in _CALLED.items() if any(call in found[name] for call in calls)]
    for name, text in found.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "eennc_names.h").write_text(_names(prefix, homes, plain=device.extension == "none"), encoding="utf-8")
    return [*found, "eennc_names.h"]


_CALLED = {
    "eennc_rows_s8": ("eennc_row_s8(", "eennc_two_rows_s8("),
    "eennc_rows_f32": ("eennc_row_f32(", "eennc_two_rows_f32("),
}
"""Files by what kernels in other files call of them."""


def _names(prefix: str, homes: list[Traversable], *, plain: bool) -> str:
    """The header that gives every function of kernels and runtime the model's prefix."""
    functions: set[str] = set()
    for home in homes:
        for name in ("eennc_kernels.h", "eennc_exit.h"):
            if (home / name).is_file():
                text = (home / name).read_text(encoding="utf-8")
                functions.update(_declared(text))
    lines = [f"#define {name} {prefix}_{name.removeprefix('eennc_')}" for name in sorted(functions)]
    head = "/* Names of the kernels in this model: several models link into one firmware.\n"
    head += f" * SPDX-License-Identifier: 0BSD */\n#ifndef {prefix.upper()}_NAMES_H\n#define {prefix.upper()}_NAMES_H\n"
    if plain:
        lines += [
            "",
            "/* The arena is planned for a core without extensions. */",
            "#ifndef EENNC_PLAIN",
            "#define EENNC_PLAIN",
            "#endif",
        ]
    return "\n".join([head, *lines, "", "#endif", ""])


def _declared(header: str) -> list[str]:
    """Functions that a header declares."""
    found: list[str] = []
    for line in header.splitlines():
        if line.startswith(("void eennc_", "int16_t eennc_", "int32_t eennc_", "float eennc_")):
            found.append(line.split("(")[0].split()[-1])
    return found


def program_scores(module: Module) -> TensorType:
    """What the network itself answers with."""
    return module.main.returns[0].type


def _suffix(scores: TensorType) -> str:
    return "f32" if scores.quant is None else "s8"


def _facts(module: Module, program: Program, plan: MemoryPlan, choices: Choices, prefix: str) -> dict[str, Any]:
    writer = program.writer
    scores = program.scores
    constants = writer.constants
    size = sum(array.nbytes for array in constants.values())
    given = program.input
    source = printable(module.name)
    suffix = _suffix(program_scores(module))
    title = f"{prefix}: an early-exit network made by eennc {version('eennc')} from {source}"
    shape = "x".join(str(n) for n in given.concrete(1)[1:]) or "1"
    macs = sum(op.macs() for op in module.ops())
    classes = program_scores(module).concrete(1)[-1]
    numbers = "int8" if suffix == "s8" else "float32"
    kind = str(module.attributes.get("scores", "logits"))
    return {
        "title": title,
        "facts": [
            f"{numbers}, planned for {choices.device.name}; every file compiles for any core.",
            f"Arena {plan.arena:,} bytes, constants {size:,} bytes, {macs:,} multiply-accumulates where no exit fires.",
        ],
        "p": prefix,
        "P": prefix.upper(),
        "device": choices.device.name,
        "suffix": suffix,
        "suffix_name": numbers,
        "input_type": C_TYPES[given.dtype],
        "input_size": given.elements(),
        "input_shape": shape,
        "input_quant": quant_fields(given.quant),
        "input_meaning": ""
        if given.quant is None
        else f" real = {prefix.upper()}_INPUT_SCALE * (x - {prefix.upper()}_INPUT_ZERO_POINT).",
        "scores_kind": kind,
        "scores_quant": quant_fields(scores.quant),
        "scores_meaning": ""
        if scores.quant is None
        else f", real = {prefix.upper()}_SCORES_SCALE * (score - {prefix.upper()}_SCORES_ZERO_POINT)",
        "score_type": C_TYPES[scores.dtype],
        "scores": program.output,
        "inner_score_type": C_TYPES[program_scores(module).dtype],
        "dequantise": program.dequantise,
        "classes": classes,
        "arena": plan.arena,
        "bound": plan.bound,
        "constant_bytes": size,
        "context_bytes": 20
        + classes * scores.dtype.bytes
        + 4 * (len(exits_of(module.main)) + 1)
        + (4 * (len(exits_of(module.main)) + 1) * len(operating_points(module)) if choices.counts else 0),
        "counts": choices.counts,
        "macs": macs,
        "weights_section": choices.weights_section,
        "arena_section": choices.arena_section,
        "descriptions": writer.descriptions,
        "functions": program.functions,
        "stages": program.stages,
        "any_reads_input": any(function.reads_input for function in program.functions),
        "arrays": [
            {"type": C_TYPES[DType.of(array.dtype)], "symbol": symbol, "size": array.size, "lines": rows_of(array)}
            for symbol, array in constants.items()
        ],
        "any_infinite": any(
            array.dtype.kind == "f" and not abs(array).max() < float("inf") for array in constants.values()
        ),
        "libraries": "m" if suffix == "f32" else "",
    }


_RUN = "how many exits in a row name the class that this one names"
_LEAD = "the lead of the largest logit over the second largest, at the exit's temperature"
_LEAD_STEPS = "the lead of the largest logit over the second largest, in steps of the logits' scale"
_LEVELS = {
    "margin": _LEAD_STEPS,
    "max_probability": "a level that rises with the largest probability",
    "patience": _RUN,
    "temporal-patience": _LEAD_STEPS,
}
"""What an exit's confidence is in integers, by its rule."""
_SCORES = {
    "margin": _LEAD,
    "max_probability": "the largest probability, at the exit's temperature",
    "patience": _RUN,
    "entropy": "1 less the entropy's share of the largest that there can be, at the exit's temperature",
    "temporal-patience": _LEAD,
}
"""And in floats."""


def _decision(module: Module, points: Mapping[str, list[float]]) -> dict[str, Any]:
    exits = exits_of(module.main)
    quantised = program_scores(module).quant is not None if not exits else exits[0].evidence.type.quant is not None
    rules = sorted({exit.rule for exit in exits})
    never = max((NEVER[exit.score_rule] for exit in exits), default=NEVER["margin"]) if quantised else 0
    # an exit whose finite threshold nothing reaches is counted by patience, one at NEVER is not
    never += "patience" in rules
    last = str(never) if quantised else "INFINITY"
    meanings = _LEVELS if quantised else _SCORES
    meaning = [f"It is {meanings[rule]};" for rule in rules[:1]]
    meaning += [f"or {meanings[rule]}, where the exit's rule is {rule};" for rule in rules[1:]]
    meaning += [f"0 leaves always, {last} never."] if quantised else [f"{last} never leaves."]
    streams = any(exit.streams for exit in exits)
    if streams:
        meaning.append(f"An exit of the rule {STREAM} leaves only where it names the class answered last, see `reset`.")
    macros: list[str] = []
    for name in points:
        macro = identifier(name).upper()
        macros.append(macro if macro not in macros else f"{macro}_{len(macros)}")

    def shown(exit: Exit, threshold: float) -> str:
        return last if math.isinf(threshold) else threshold_text(exit, threshold)

    return {
        "exits": [
            {
                "number": exit.exit,
                "place": printable(exit.place).replace("|", "/"),
                "rule": ", ".join(exit.forms).replace("class_thresholds", "by class"),
            }
            for exit in exits
        ],
        "points": [
            {
                "name": printable(name),
                "macro": macro,
                "thresholds": [*(shown(exit, t) for exit, t in zip(exits, thresholds, strict=True)), last],
                "shown": [shown(exit, t) for exit, t in zip(exits, thresholds, strict=True)],
            }
            for (name, thresholds), macro in zip(points.items(), macros, strict=True)
        ],
        "threshold_type": "int32_t" if quantised else "float",
        "threshold_check": f"threshold >= 0 && threshold <= {never}" if quantised else "threshold == threshold",
        "never": last,
        "confidence": meaning,
        "patient": "patience" in rules,
        "any_by_class": any(exit.class_thresholds for exit in exits),
        "streams": streams,
    }
