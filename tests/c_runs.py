"""Runs generated C on the host: whole folders, and single graphs without exits."""

import ctypes
import itertools
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import eennc.backends.cortexm.kernels as kernels
from eennc.artifact import CSpec
from eennc.backends.cortexm import CortexmBackend
from eennc.backends.cortexm.form import form_of
from eennc.backends.cortexm.program import shown_by
from eennc.backends.cortexm.target import CortexMTarget
from eennc.backends.cortexm.writer import C_TYPES, Writer, rows_of
from eennc.devices import device_named
from eennc.ir.flat import flatten
from eennc.ir.graph import Module
from eennc.ir.types import DType
from eennc.ir.values import Argument, Value
from eennc.ir.verifier import verify
from eennc.passes.base import Context
from eennc.passes.exits.classifier import prepare_scores
from eennc.passes.exits.form_segments import FormSegments
from eennc.passes.layout.channels_last import ChannelsLast
from eennc.passes.memory import ARENA
from eennc.passes.memory.check import check_plan
from eennc.passes.memory.plan_memory import plan_memory

WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
_NUMBERS = itertools.count()
GUARD = 64
"""Bytes around what kernels may write."""


def compiler(name: str = "gcc") -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def lowered(module: Module, backend: CortexmBackend) -> Module:
    """A copy as the backend wants it."""
    module = module.copy()
    if "scores" not in module.attributes:
        prepare_scores(module)
    ctx = Context(target=backend.target())
    for p in backend.passes():
        p.run(module, ctx)
        verify(module)
    return module


def emit(module: Module, folder: Path, **options: object) -> CSpec:
    """The C folder of a network."""
    backend = CortexmBackend(**options)
    folder.mkdir(parents=True, exist_ok=True)
    emitted = backend.emit(lowered(module, backend), module.main, folder)
    assert emitted.c is not None
    return emitted.c


def sources(folder: Path) -> list[str]:
    return sorted(map(str, folder.glob("*.c")))


class HostC:
    """A C folder in a shared library of this computer."""

    def __init__(self, folder: Path, spec: CSpec, classes: int, flags: Sequence[str] = ("-O1",)) -> None:
        self.spec = spec
        self.scores = np.dtype(spec.scores_dtype)
        self.classes = classes
        # a loader knows files that it has loaded by name
        made = folder / f"host{next(_NUMBERS)}.so"
        command = [compiler(), *WARNINGS, *flags, "-shared", "-fPIC", *sources(folder), "-lm", "-o", str(made)]
        subprocess.run(command, check=True)
        self.library = ctypes.CDLL(str(made))
        self.arena = (ctypes.c_uint32 * (spec.arena_bytes // 4 + 2))()
        self.net = (ctypes.c_uint64 * 1024)()
        self.result = (ctypes.c_uint8 * 8192)()
        assert self.call("init", self.net, self.arena, ctypes.c_size_t(spec.arena_bytes)) == 0

    def call(self, name: str, *arguments: object) -> int:
        return getattr(self.library, f"{self.spec.prefix}_{name}")(*arguments)

    def answer(self) -> tuple[int, int, np.ndarray]:
        """Class, exit, scores of the last result."""
        raw = np.frombuffer(bytes(self.result), np.uint8)
        offset = 4
        size = self.classes * self.scores.itemsize
        class_id, exit = raw[:4].view(np.int16)
        return int(class_id), int(exit), raw[offset : offset + size].view(self.scores)

    def run(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Classes, exits and scores of samples in the network's input dtype."""
        found = []
        for sample in x:
            sample = np.ascontiguousarray(sample)
            assert self.call("run", self.net, ctypes.c_void_p(sample.ctypes.data), self.result) == 0
            found.append(self.answer())
        assert self.arena[self.spec.arena_bytes // 4 + 1] == 0
        return (
            np.array([c for c, _, _ in found]),
            np.array([e for _, e, _ in found]),
            np.stack([s for _, _, s in found]),
        )


def given(x: np.ndarray, spec: CSpec) -> np.ndarray:
    """Float samples as the artefact takes them, by the meaning of q.quantize."""
    if spec.input_scale is None:
        return x
    steps = x / np.float32(spec.input_scale)
    rounded = np.copysign(np.floor(np.abs(steps) + np.float32(0.5)), steps)
    return np.clip(rounded + spec.input_zero_point, -128, 127).astype(np.int8)


class _CaseWriter(Writer):
    """Arguments come as an array of pointers."""

    arguments: Sequence[Argument] = ()

    def at(self, value: Value) -> str:
        value = self.stands_for.get(value, value)
        if isinstance(value, Argument):
            return f"(const {C_TYPES[value.type.dtype]} *)inputs[{list(self.arguments).index(value)}]"
        return super().at(value)


class Cases:
    """Graphs without exits, compiled into one library; kernels run with guarded, dirty memory."""

    def __init__(self, folder: Path, modules: Sequence[Module], device: str, flags: Sequence[str] = ("-O1",)) -> None:
        target = CortexMTarget(device_named(device))
        self.modules: list[Module] = []
        text = ["#include <math.h>", "#include <string.h>", '#include "eennc_kernels.h"']
        for number, module in enumerate(modules):
            module = module.copy()
            for p in (ChannelsLast(), FormSegments()):
                p.run(module, Context())
            plan_memory(module, target)
            check_plan(module, target)
            self.modules.append(module)
            text += _function(module, number)
        home = Path(kernels.__file__).parent
        (folder / "cases.c").write_text("\n".join(text))
        made = folder / "cases.so"
        command = [compiler(), *WARNINGS, *flags, "-shared", "-fPIC", "-I", str(home), str(folder / "cases.c")]
        subprocess.run([*command, *sorted(map(str, home.glob("*.c"))), "-lm", "-o", str(made)], check=True)
        self.library = ctypes.CDLL(str(made))

    def run(self, number: int, inputs: Sequence[np.ndarray], *, seed: int = 0) -> np.ndarray:
        """The one result of a graph for one sample."""
        module = self.modules[number]
        size = int(module.attributes[ARENA])
        returned = module.main.returns[0].type
        random = np.random.default_rng(seed)
        arena = np.zeros((size + 2 * GUARD + 7) // 8, np.int64).view(np.uint8)
        arena[:] = random.integers(0, 256, arena.size)
        before = arena.copy()
        y = np.zeros(returned.concrete(1), returned.dtype.numpy)
        inputs = [np.ascontiguousarray(x) for x in inputs]
        pointers = (ctypes.c_void_p * len(inputs))(*(x.ctypes.data for x in inputs))
        function = getattr(self.library, f"case{number}")
        function(pointers, ctypes.c_void_p(arena.ctypes.data + GUARD), ctypes.c_void_p(y.ctypes.data))
        assert (arena[:GUARD] == before[:GUARD]).all()
        assert (arena[GUARD + size :] == before[GUARD + size :]).all()
        return y


def _function(module: Module, number: int) -> list[str]:
    flat = flatten(module)
    writer = _CaseWriter(f"case{number}", shown_by(flat))
    writer.arguments = module.main.arguments
    for step in flat.steps:
        if not form_of(step.op).view:
            writer.begin(step.op, "main")
            form_of(step.op).write(writer)
    (returned,) = module.main.returns
    result = writer.at(returned)
    lines = []
    for symbol, array in writer.constants.items():
        lines.append(f"static const {C_TYPES[DType.of(array.dtype)]} {symbol}[] = {{")
        lines += [*rows_of(array), "};"]
    # descriptions of all cases stand in one file
    body = [*writer.descriptions, *(writer.functions["main"].statements if writer.functions else [])]
    return [
        *lines,
        f"void case{number}(const void *const *inputs, uint8_t *arena, uint8_t *y);",
        f"void case{number}(const void *const *inputs, uint8_t *arena, uint8_t *y)",
        "{",
        "(void)inputs, (void)arena;",
        *body,
        f"memcpy(y, {result}, {returned.type.bytes()});",
        "}",
    ]
