"""Instruments that come with the pipeline: print the IR, write it to files, measure time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from eennc.ir.graph import Module
from eennc.ir.printer import print_module
from eennc.passes.base import Pass
from eennc.passes.reproducer import safe_name
from eennc.support.atomic import atomic_file


class PrintIR:
    """Writes the IR to `stream` before and after the passes named, after every pass with `after_all`."""

    def __init__(
        self,
        stream: TextIO,
        *,
        before: frozenset[str] = frozenset(),
        after: frozenset[str] = frozenset(),
        after_all: bool = False,
    ) -> None:
        self._stream = stream
        self._before = before
        self._after = after
        self._after_all = after_all

    def before(self, p: Pass, module: Module) -> None:
        """Print where asked for."""
        if p.name in self._before:
            self._print(f"before {p.name}", module)

    def after(self, p: Pass, module: Module, changed: bool, seconds: float) -> None:
        """Print where asked for."""
        if self._after_all or p.name in self._after:
            self._print(f"after {p.name}{'' if changed else ' (no change)'}", module)

    def _print(self, title: str, module: Module) -> None:
        self._stream.write(f"// ---- {title}\n{print_module(module)}")
        self._stream.flush()


class DumpIR:
    """Writes the IR into numbered files: `00-input.eir`, then `01-<pass>.eir` and so on. Text only, without weights."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def before(self, p: Pass, module: Module) -> None:
        """Write the input before the first pass."""
        if self._count == 0:
            self._write("input", module)

    def after(self, p: Pass, module: Module, changed: bool, seconds: float) -> None:
        """Write what the pass left."""
        self._write(safe_name(p.name), module)

    def _write(self, name: str, module: Module) -> None:
        with atomic_file(self._folder / f"{self._count:02}-{name}.eir") as path:
            path.write_text(print_module(module, origins=True), encoding="utf-8")
        self._count += 1


@dataclass(frozen=True)
class TimingRow:
    """One run of a pass: wall time in seconds, ops of all graphs after it."""

    name: str
    seconds: float
    changed: bool
    ops: int


class Timing:
    """Collects how long each pass took."""

    def __init__(self) -> None:
        self.rows: list[TimingRow] = []

    def before(self, p: Pass, module: Module) -> None:
        """Nothing."""

    def after(self, p: Pass, module: Module, changed: bool, seconds: float) -> None:
        """Add a row."""
        ops = sum(len(graph.ops) for graph in module.graphs.values())
        self.rows.append(TimingRow(p.name, seconds, changed, ops))
