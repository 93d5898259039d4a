"""Runs samples through a C artefact on an emulated core."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eennc.artifact import CSpec
from eennc.devices import Device
from eennc.ir.types import Array
from eennc.runtime.emulator.boards import Board, board_of
from eennc.runtime.emulator.build import PACKAGE, Firmware, Flash, build_firmware, tool
from eennc.runtime.emulator.cycles import MODELS, costs_of
from eennc.support.diagnostics import Place, UserError

Ints = NDArray[np.int64]
SECONDS = 3600
"""Longer than this no run may take."""
_HEADER = 16
"""Bytes before the scores: status, exit, class, stack, int32 each."""


@dataclass(frozen=True)
class Emulated:
    """What came of n samples. exit, classes, instructions: int64 [n]. cycles: int64 [n], None for cores of which no
    table tells them. scores: [n, classes], as the artefact gives them. stack: bytes, the most that a run took.
    """

    exit: Ints
    classes: Ints
    scores: Array
    instructions: Ints
    cycles: Ints | None
    stack: int
    flash: Flash


def emulate(
    folder: Path,
    spec: CSpec,
    classes: int,
    x: Array,
    device: Device,
    *,
    point: int | None = 0,
    starts: NDArray[np.bool_] | None = None,
    defines: Sequence[str] = (),
) -> Emulated:
    """Build the artefact in `folder` for a device, and run samples x [n, ...] of its input dtype.

    point: the operating point, None for the base network. starts: where the class that was answered last is forgotten,
    bool [n], for networks that look at it. defines: more options of the compiler, such as -DEENNC_PLAIN.
    Raises UserError for missing tools, code that does not compile, memories that do not suffice, and a run that fails.
    """
    board = board_of(device)
    with tempfile.TemporaryDirectory(prefix="eennc-") as temporary:
        work = Path(temporary)
        if starts is not None:
            defines = [*defines, "-DSEQUENCES"]
            starts.astype(np.uint8).tofile(work / "starts.bin")
        firmware = build_firmware(folder, spec.prefix, board, work, point=point, defines=defines)
        np.ascontiguousarray(x).tofile(work / "input.bin")
        counts = count_instructions(board, device, firmware, work, folder)
        scores_type = np.dtype(spec.scores_dtype)
        raw = np.fromfile(work / "output.bin", np.uint8)
        width = _HEADER + classes * scores_type.itemsize
        if raw.size != width * len(x) or len(counts) != len(x):
            raise UserError(
                f"the emulated core answered {raw.size // width} of {len(x)} samples", place=Place(str(folder))
            )
    rows = raw.reshape(len(x), width)
    header = np.ascontiguousarray(rows[:, :_HEADER]).view(np.int32)
    if (header[:, 0] != 0).any():
        raise UserError(f"the network answered with status {int(header[:, 0].min())}", place=Place(str(folder)))
    return Emulated(
        exit=header[:, 1].astype(np.int64),
        classes=header[:, 2].astype(np.int64),
        scores=np.ascontiguousarray(rows[:, _HEADER:]).view(scores_type),
        instructions=counts[:, 0],
        cycles=counts[:, 1] if device.core in MODELS else None,
        stack=int(header[:, 3].max()),
        flash=firmware.flash,
    )


def count_instructions(board: Board, device: Device, firmware: Firmware, work: Path, folder: Path) -> Ints:
    """Run an image in `work` on its input.bin: instructions and cycles of each marked region, int64 [n, 2]."""
    emulator = tool(board.emulator, board.packages)
    options = [f"out={work / 'counts.txt'}", f"start={board.start}", f"stop={board.stop}"]
    model = MODELS.get(device.core or "")
    if model is not None:
        dump = tool(f"{board.tools}objdump", board.packages)
        lines = subprocess.run(
            [dump, "-d", str(firmware.image)], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        costs = "".join(f"{address:x} {cycles}\n" for address, cycles in costs_of(lines, model).items())
        (work / "costs.txt").write_text(costs, encoding="ascii")
        options += [f"costs={work / 'costs.txt'}", f"taken={model.taken}"]
    command = [emulator, "-M", board.machine, "-nographic", "-monitor", "none", "-serial", "none"]
    command += ["-semihosting-config", "enable=on,target=native", "-kernel", firmware.image.name]
    command += ["-bios", "none"] * (board.machine == "virt")
    command += ["-plugin", ",".join([str(_plugin(board, work)), *options])]
    try:
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise UserError(f"the emulated core ran for more than {SECONDS} s", hint="give fewer --samples") from None
    if done.returncode != 0:
        reason = {3: "it could not be initialised", 4: "the answers could not be written", 99: "it faulted"}.get(
            done.returncode, done.stderr.strip()[-300:] or f"exit code {done.returncode}"
        )
        raise UserError(f"the network failed on the emulated core: {reason}", place=Place(str(folder)))
    text = (work / "counts.txt").read_text(encoding="ascii")
    return np.array([line.split() for line in text.splitlines()], np.int64).reshape(-1, 2)


def _plugin(board: Board, work: Path) -> Path:
    made = work / "plugin.so"
    with as_file(files(PACKAGE) / "plugin.c") as source:
        command = [tool("cc", board.packages), "-O2", "-shared", "-fPIC", str(source), "-o", str(made)]
        subprocess.run(command, check=True, capture_output=True)
    return made
