"""Builds a C artefact into an image that streams samples through it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.resources import as_file, files
from pathlib import Path

from jinja2 import StrictUndefined, Template

from eennc.runtime.qemu.boards import Board, Toolchain
from eennc.runtime.qemu.sizes import Sizes, sizes_by_file, sizes_of_image, total
from eennc.support.diagnostics import Place, UserError

PACKAGE = "eennc.runtime.qemu"
IMAGE = "image.elf"
PLUGIN = "plugin.so"
LEAST_STACK = 1024
"""Bytes of memory that an image must leave to the stack."""
_FLAGS = ("-std=c99", "-ffunction-sections", "-fdata-sections")
_MODEL = ("-O3",)
# the firmware's loops stay loops: calls of memcpy and memset would be the model's alone
_FIRMWARE = ("-O2", "-ffreestanding", "-fno-tree-loop-distribute-patterns")


class DoesNotFitError(UserError):
    """The image is larger than the board's memories."""


@dataclass(frozen=True)
class Image:
    """A linked image. sizes: of all of it; of these, model: of the artefact's own code and constants that the linker
    kept, libraries: of the compiler's libraries, which only the model uses.
    """

    path: Path
    board: Board
    sizes: Sizes
    model: Sizes
    libraries: Sizes


def tool(name: str, packages: str) -> str:
    """The path of a program. Raises UserError, with the packages to install, where it is not there."""
    found = shutil.which(name)
    if found is None:
        raise UserError(f"'{name}' is not installed", hint=f"on Debian: apt-get install {packages}")
    return found


def require(toolchain: Toolchain) -> None:
    """Raise UserError where a program is missing that building and running need."""
    for name in ("gcc", "size", "objdump"):
        tool(toolchain.prefix + name, toolchain.packages)
    tool(toolchain.emulator, toolchain.packages)
    tool("cc", "gcc")


def build(
    folder: Path,
    work: Path,
    boards: Sequence[Board],
    *,
    prefix: str,
    base: bool = False,
    point: int = 0,
    defines: Sequence[str] = (),
) -> Image:
    """Compile every .c of `folder` and the firmware in the folder `work`, and link for the first of the boards that
    they fit; the boards are of one core.

    prefix: the network's, such as dscnn. base: the base network, no exit of which is computed. point: the operating
    point. defines: macros for the artefact's code, NAME or NAME=VALUE. Raises UserError for a missing tool, for code
    that does not compile, and, with by how much, where it does not fit.
    """
    sources = sorted(folder.glob("*.c"))
    if not sources:
        raise UserError("there is no C code in the folder", place=Place(str(folder)))
    require(boards[0].toolchain)
    for board in boards[:-1]:
        try:
            return _build(folder, sources, work, board, prefix, base, point, defines)
        except DoesNotFitError:
            continue
    return _build(folder, sources, work, boards[-1], prefix, base, point, defines)


def _build(
    folder: Path,
    sources: Sequence[Path],
    work: Path,
    board: Board,
    prefix: str,
    base: bool,
    point: int,
    defines: Sequence[str],
) -> Image:
    toolchain = board.toolchain
    common = [*toolchain.flags, *board.flags, *_FLAGS, f"-I{folder.absolute()}"]
    macros = [f"-D{name}" for name in defines]
    own = [f"-DMODEL={prefix}", f"-DMODEL_UPPER={prefix.upper()}", f"-DPOINT={point}", *["-DBASE_NETWORK"] * base]
    with as_file(files(PACKAGE) / "firmware") as firmware, ThreadPoolExecutor(2) as threads:
        of_model = [(source, f"model_{source.stem}.o", [*common, *_MODEL, *macros]) for source in sources]
        of_firmware = [
            (firmware / name, f"firmware_{name.partition('.')[0]}.o", [*common, *_FIRMWARE, *macros, *own])
            for name in ("main.c", "semihosting.c", toolchain.startup)
        ]
        compiler = tool(f"{toolchain.prefix}gcc", toolchain.packages)
        compiled = [
            threads.submit(_run, [compiler, *flags, "-c", str(source.absolute()), "-o", made], work, folder)
            for source, made, flags in [*of_model, *of_firmware]
        ]
        for one in compiled:
            one.result()
        script = (firmware / "link.ld.jinja").read_text(encoding="utf-8")
    text = Template(script, undefined=StrictUndefined).render(asdict(board), least_stack=LEAST_STACK)
    (work / "link.ld").write_text(text, encoding="utf-8")
    objects = [made for _, made, _ in [*of_firmware, *of_model]]
    options = ["-nostartfiles", "-T", "link.ld", "-Wl,--gc-sections", "-Wl,-Map=image.map"]
    _run([compiler, *common, *options, *objects, "-lm", "-o", IMAGE], work, folder)
    return _measured(work, board, [made for _, made, _ in of_model], folder)


def _measured(work: Path, board: Board, of_model: Sequence[str], folder: Path) -> Image:
    size = tool(f"{board.toolchain.prefix}size", board.toolchain.packages)
    by_file = sizes_by_file((work / "image.map").read_text(encoding="utf-8", errors="replace"))
    return Image(
        path=work / IMAGE,
        board=board,
        sizes=sizes_of_image(_run([size, "-A", IMAGE], work, folder)),
        model=total(found for name, found in by_file.items() if name in of_model),
        libraries=total(found for name, found in by_file.items() if name.endswith(")")),
    )


_MEMORIES = {"CODE": "flash", "CONSTANTS": "flash for constants", "RAM": "memory"}


def _run(command: Sequence[str], work: Path, folder: Path) -> str:
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 0:
        return done.stdout
    overflows = re.findall(r"region `(\w+)' overflowed by (\d+) bytes?", done.stderr)
    if overflows:
        needed = " and ".join(f"{int(size):,} bytes more {_MEMORIES[name]}" for name, size in overflows)
        raise DoesNotFitError(f"the network needs {needed} than the emulated board has", place=Place(str(folder)))
    lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    first = next((line for line in lines if re.search(r"error|undefined reference", line)), lines[-1])
    raise UserError(f"{Path(command[0]).name} failed: {first.strip()}", place=Place(str(folder)))


def build_plugin(work: Path) -> Path:
    """Compile the plugin that counts, for QEMU on this computer, into `work`. Raises UserError without a compiler."""
    compiler = tool("cc", "gcc")
    with as_file(files(PACKAGE) / "plugin.c") as source:
        _run([compiler, "-std=c99", "-O2", "-shared", "-fPIC", str(source), "-o", PLUGIN], work, source)
    return work / PLUGIN


def disassembled(image: Image) -> list[str]:
    """The lines of the image's disassembly, without opcodes."""
    toolchain = image.board.toolchain
    dump = tool(f"{toolchain.prefix}objdump", toolchain.packages)
    text = _run([dump, "-d", "--no-show-raw-insn", image.path.name], image.path.parent, image.path)
    return text.splitlines()
