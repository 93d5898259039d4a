"""Runs samples through a C artefact on an emulated core."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from eennc.ir.types import Array
from eennc.runtime.qemu.boards import boards_of
from eennc.runtime.qemu.build import Image, build, build_plugin, disassembled, tool
from eennc.runtime.qemu.cycles import MODELS, costs_of
from eennc.runtime.qemu.sizes import Sizes
from eennc.support.diagnostics import Place, UserError

Ints = NDArray[np.int64]
SECONDS = 1800.0
"""How long one QEMU may run, where the caller does not say."""
_ROW = np.dtype([("status", "<i4"), ("exit", "<i4"), ("class", "<i4"), ("stack", "<u4")])
_ALL_WATCHED = 0xFFFFFFFF
_REASONS = {
    2: "its files could not be opened",
    3: "it could not be initialised",
    4: "the samples are not of its input's size",
    5: "its answers could not be written",
    99: "it faulted: a wrong address, an instruction that the core does not have, or no stack left",
}
"""What the firmware's exit codes mean."""


@dataclass(frozen=True)
class CoreRun:
    """What came of n samples. exit, classes, instructions: int64 [n]. scores: [n, classes] in the artefact's dtype.
    cycles: int64 [n], an estimate, None for cores that have no model. Instructions and cycles are those of one `run`,
    its call included. stack: bytes, the most that a run took.

    machine: QEMU's board. sizes, model, libraries: of the image, see `Image`.
    """

    exit: Ints
    classes: Ints
    scores: Array
    instructions: Ints
    cycles: Ints | None
    stack: int
    machine: str
    sizes: Sizes
    model: Sizes
    libraries: Sizes


def run_on_qemu(
    folder: Path,
    x: Array,
    *,
    core: str,
    prefix: str,
    classes: int,
    scores_dtype: DTypeLike,
    base: bool = False,
    point: int = 0,
    defines: Sequence[str] = (),
    processes: int | None = None,
    seconds: float = SECONDS,
) -> CoreRun:
    """Build the artefact in `folder` for a core and run samples x [n, ...] of its input dtype, n at least 1.

    prefix, classes, scores_dtype: of the artefact. base: its base network, no exit of which is computed. point: the
    operating point. defines: macros for its code, such as EENNC_PLAIN. processes: how many QEMUs share the samples, as
    many as there are processors, at most 2, where None. seconds: how long each may run.

    Raises UserError for an unknown core, missing tools, code that does not compile or fit, a network that answers with
    an error or faults, and too long a run; RuntimeError where QEMU itself fails.
    """
    boards = boards_of(core)
    if not len(x):
        raise UserError("there is no sample to run")
    with tempfile.TemporaryDirectory(prefix="eennc-qemu-") as temporary:
        work = Path(temporary)
        image = build(folder, work, boards, prefix=prefix, base=base, point=point, defines=defines)
        build_plugin(work)
        if core in MODELS:
            costs = costs_of(disassembled(image), MODELS[core])
            table = "".join(f"{address:x} {cycles}\n" for address, cycles in costs.items())
            (work / "costs.txt").write_text(table, encoding="ascii")
        command = _command(image, taken=MODELS[core].taken if core in MODELS else None)
        parts = np.array_split(x, min(len(x), processes or min(2, os.cpu_count() or 1)))
        width = _ROW.itemsize + classes * np.dtype(scores_dtype).itemsize
        with ThreadPoolExecutor(len(parts)) as threads:
            streams = [
                threads.submit(_stream, command, part, width, work / str(i), folder, seconds)
                for i, part in enumerate(parts)
            ]
            done = [stream.result() for stream in streams]
    rows = np.concatenate([rows for rows, _ in done])
    counts = np.concatenate([counts for _, counts in done])
    header = np.ascontiguousarray(rows[:, : _ROW.itemsize]).view(_ROW)[:, 0]
    _check(header, folder)
    return CoreRun(
        exit=header["exit"].astype(np.int64),
        classes=header["class"].astype(np.int64),
        scores=np.ascontiguousarray(rows[:, _ROW.itemsize :]).view(scores_dtype),
        instructions=counts[:, 0],
        cycles=counts[:, 1] if core in MODELS else None,
        stack=int(header["stack"].max()),
        machine=image.board.machine,
        sizes=image.sizes,
        model=image.model,
        libraries=image.libraries,
    )


def _command(image: Image, *, taken: int | None) -> list[str]:
    """QEMU's command line for a folder below the image's. Paths are relative: QEMU splits options at commas."""
    board = image.board
    plugin = f"../plugin.so,out=counts.txt,isa={board.toolchain.isa}"
    if taken is not None:
        plugin += f",costs=../costs.txt,taken={taken}"
    emulator = tool(board.toolchain.emulator, board.toolchain.packages)
    quiet = ["-display", "none", "-monitor", "none", "-serial", "none"]
    semihosting = ["-semihosting-config", "enable=on,target=native"]
    kernel = ["-kernel", f"../{image.path.name}"]
    return [emulator, "-M", board.machine, *quiet, *semihosting, *board.options, *kernel, "-plugin", plugin]


def _stream(
    command: Sequence[str], x: Array, width: int, work: Path, folder: Path, seconds: float
) -> tuple[NDArray[np.uint8], Ints]:
    """The rows that the firmware wrote, uint8 [n, width], and instructions and cycles, int64 [n, 2]."""
    work.mkdir()
    np.ascontiguousarray(x).tofile(work / "input.bin")
    try:
        done = subprocess.run(
            command, cwd=work, capture_output=True, text=True, errors="replace", timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"the emulated core did not finish {len(x)} samples in {seconds:g} s", hint="run fewer samples"
        ) from None
    if done.returncode in _REASONS:
        raise UserError(
            f"the network failed on the emulated core: {_REASONS[done.returncode]}", place=Place(str(folder))
        )
    printed = (done.stdout + done.stderr).strip()
    if done.returncode != 0:
        raise RuntimeError(f"QEMU failed with exit code {done.returncode}: {printed}")
    rows = np.fromfile(work / "output.bin", np.uint8)
    counts = np.fromfile(work / "counts.txt", np.int64, sep=" ")
    if rows.size != len(x) * width or counts.size != 2 * len(x):
        raise RuntimeError(
            f"the emulated core wrote {rows.size} bytes and {counts.size // 2} counts for {len(x)} samples of "
            f"{width} bytes: input, classes or scores are not what the network has. {printed}".strip()
        )
    return rows.reshape(len(x), width), counts.reshape(len(x), 2)


def _check(header: NDArray[np.void], folder: Path) -> None:
    """Raise UserError where a row tells of an error."""
    wrong = np.flatnonzero(header["status"])
    if len(wrong):
        status = int(header["status"][wrong[0]])
        raise UserError(f"sample {wrong[0]}: the network answered with status {status}", place=Place(str(folder)))
    if (header["stack"] == _ALL_WATCHED).any():
        raise UserError(
            "the network used all of the stack that is watched, so that it may have overwritten its memory",
            place=Place(str(folder)),
            hint="at most 64 KiB, less where the board's memory is full",
        )
