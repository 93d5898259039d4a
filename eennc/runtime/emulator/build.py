"""Builds a C artefact with the firmware that streams samples through it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from eennc.runtime.emulator.boards import Board
from eennc.support.diagnostics import Place, UserError

PACKAGE = "eennc.runtime.emulator"
OPTIMISATION = "-O3"


@dataclass(frozen=True)
class Flash:
    """Bytes of the model alone, as it is linked, what it needs of the compiler's libraries included. code, constants
    (weights, descriptions, tables), data (initialised memory).
    """

    code: int
    constants: int
    data: int

    @property
    def total(self) -> int:
        """What it takes of the flash."""
        return self.code + self.constants + self.data


@dataclass(frozen=True)
class Firmware:
    """A built image and what the model takes of it."""

    image: Path
    flash: Flash


def tool(name: str, packages: str) -> str:
    """The path of a program; raises UserError with the packages to install where it is not there."""
    found = shutil.which(name)
    if found is None:
        raise UserError(f"'{name}' is not installed", hint=f"Debian's packages: apt-get install {packages}")
    return found


def build_firmware(
    folder: Path, prefix: str, board: Board, work: Path, *, point: int | None, defines: Sequence[str] = ()
) -> Firmware:
    """Compile and link in `work`. point: the operating point to run at, None for the base network, whose exits are
    never taken. Raises UserError for missing tools, code that does not compile, and an image that does not fit the
    board.
    """
    compiler = tool(f"{board.tools}gcc", board.packages)
    flags = [*board.flags, *board.libraries, "-std=gnu99", OPTIMISATION, "-ffunction-sections", "-fdata-sections"]
    defined = [f"-DMODEL={prefix}", f"-DMODEL_CAPITALS={prefix.upper()}", *defines]
    defined.append("-DBASE_NETWORK" if point is None else f"-DOPERATING_POINT={point}")
    objects = [_compile(compiler, [*flags, *defines], source, folder, work) for source in sorted(folder.glob("*.c"))]
    script = work / "link.ld"
    with as_file(files(PACKAGE) / "firmware") as firmware:
        own = [
            _compile(compiler, [*flags, *defined], firmware / name, folder, work) for name in ("main.c", board.startup)
        ]
        script.write_text(_script((firmware / "link.ld").read_text(encoding="utf-8"), board), encoding="utf-8")
    image = work / "firmware.elf"
    link = [compiler, *flags, "-nostartfiles", "-Wl,--gc-sections", "-T", str(script)]
    _run([*link, *map(str, own), *map(str, objects), "-lm", "-o", str(image)], folder)
    return Firmware(image, _flash(compiler, [*flags, "-T", str(script)], prefix, board, objects, work, folder))


def _compile(compiler: str, flags: Sequence[str], source: Path, folder: Path, work: Path) -> Path:
    made = work / f"{source.stem}.o"
    _run([compiler, *flags, "-I", str(folder), "-c", str(source), "-o", str(made)], folder)
    return made


def _run(command: Sequence[str], folder: Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return done.stdout
    overflow = re.search(r"region `?(\w+)'? overflowed by (\d+) bytes", done.stderr)
    if overflow:
        what = {"RAM": "memory", "CODE": "flash", "CONSTANTS": "flash for constants"}[overflow[1]]
        raise UserError(
            f"the network needs {int(overflow[2]):,} bytes more {what} than the board has", place=Place(str(folder))
        )
    first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip()[-300:])
    raise UserError(f"{Path(command[0]).name} failed: {first}", place=Place(str(folder)))


def _script(text: str, board: Board) -> str:
    constants = board.constants or board.code
    filled = {
        "CODE_START": board.code.start,
        "CODE_SIZE": board.code.size,
        "CONSTANTS_START": constants.start,
        "CONSTANTS_SIZE": constants.size,
        "RAM_START": board.ram.start,
        "RAM_SIZE": board.ram.size,
    }
    for name, value in filled.items():
        text = text.replace(f"@{name}@", hex(value))
    return text.replace("@CONSTANTS@", "CODE" if board.constants is None else "CONSTANTS")


def _flash(
    compiler: str, flags: Sequence[str], prefix: str, board: Board, objects: Sequence[Path], work: Path, folder: Path
) -> Flash:
    """Link the model alone, from its two functions that an application needs at least."""
    alone = work / "model.elf"
    roots = [f"-Wl,--undefined={prefix}_{name}" for name in ("init", "run")]
    entry = f"-Wl,--entry={prefix}_run"
    link = [compiler, *flags, "-nostartfiles", "-Wl,--gc-sections", entry, *roots]
    _run([*link, *map(str, objects), "-lm", "-o", str(alone)], folder)
    listed = _run([tool(f"{board.tools}size", board.packages), "-A", str(alone)], folder)
    sizes = {"code": 0, "constants": 0, "data": 0}
    for line in listed.splitlines():
        parts = line.split()
        if len(parts) == 3 and parts[0].startswith("."):
            kind = _kind(parts[0])
            if kind is not None:
                sizes[kind] += int(parts[1])
    return Flash(**sizes)


_KINDS = {".text": "code", ".rodata": "constants", ".srodata": "constants", ".data": "data", ".sdata": "data"}


def _kind(section: str) -> str | None:
    return next((kind for start, kind in _KINDS.items() if section.startswith(start)), None)
