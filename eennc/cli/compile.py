"""`eennc compile`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from eennc.artifact import to_json
from eennc.cli import MISSED, OK
from eennc.cli.progress import Stages, progress_on
from eennc.cli.result import result_text
from eennc.driver import Compiled, compile
from eennc.ir.printer import print_module
from eennc.ir.text import save_module
from eennc.passes.base import PASSES
from eennc.passes.instruments import DumpIR, PrintIR, Timing
from eennc.passes.pipeline import GROUPS, Instrument
from eennc.plugins import load_file, load_plugins
from eennc.support.diagnostics import Place, UserError, unknown

OUTPUT = Path("build")


def compile_model(options: argparse.Namespace) -> int:
    """Compile, or print what --list or --explain ask for; returns the exit code."""
    load_plugins()
    for file in options.load:
        load_file(file)
    if options.list or options.explain:
        from eennc.cli.listing import explain, listing

        sys.stdout.write(explain(options.explain) if options.explain else listing(options.list))
        return OK
    if options.model is None:
        raise UserError("no model is given", hint="eennc MODEL -p passes.yaml -o build/; see `eennc --help`")
    output = _output(options)
    printing = bool(options.print_ir_before or options.print_ir_after or options.print_ir_after_all)
    timing = Timing()
    with progress_on(sys.stderr, quiet=options.quiet, lines=printing) as progress:
        compiled = compile(
            options.model,
            passes=options.passes,
            backend=options.backend,
            device=options.device,
            output=None if options.stop_after else output,
            data=_data(options),
            seed=options.seed,
            cache=options.cache_dir,
            progress=progress,
            instruments=[timing, *_instruments(options), Stages(progress)],
            stop_after=options.stop_after,
        )
    if options.time_passes:
        sys.stderr.write(_times(timing))
    if options.stop_after:
        _stopped(compiled, output)
        return OK
    sys.stdout.write(_json(compiled) if options.json else _text(compiled, options, output or OUTPUT))
    return OK if compiled.met else MISSED


def _output(options: argparse.Namespace) -> Path | None:
    """Where to write to; None to print the IR."""
    given: Path | None = options.output
    if options.stop_after:
        if given is not None and given.suffix != ".eir":
            raise UserError("with --stop-after, -o names an .eir file", place=Place(str(given)))
        return given
    output = OUTPUT if given is None else given
    for option, path in (("--dump-ir", options.dump_ir), ("--cache-dir", options.cache_dir)):
        if path is not None and path.resolve().is_relative_to(output.resolve()):
            raise UserError(
                f"{option} lies inside the artefact's folder, which is replaced as a whole", place=Place(str(path))
            )
    return output


def _data(options: argparse.Namespace) -> Mapping[str, str]:
    given = {split: getattr(options, split) for split in ("train", "calibration", "test")}
    return {split: spec for split, spec in given.items() if spec is not None}


def _instruments(options: argparse.Namespace) -> list[Instrument]:
    found: list[Instrument] = []
    before = _named(options.print_ir_before, first=True)
    after = _named(options.print_ir_after, first=False)
    if before or after or options.print_ir_after_all:
        found.append(PrintIR(sys.stderr, before=before, after=after, after_all=options.print_ir_after_all))
    if options.dump_ir is not None:
        found.append(DumpIR(options.dump_ir))
    return found


def _named(names: Iterable[str], *, first: bool) -> frozenset[str]:
    """The passes called so; a group stands for its first or its last one."""
    found: set[str] = set()
    for name in names:
        if name in GROUPS:
            found.add(GROUPS[name][0 if first else -1])
        elif name in PASSES:
            found.add(name)
        else:
            raise unknown("pass", name, [*PASSES, *GROUPS])
    return frozenset(found)


def _stopped(compiled: Compiled, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(print_module(compiled.module))
    else:
        save_module(compiled.module, output)


def _times(timing: Timing) -> str:
    from eennc.cli.units import columns

    rows = [["pass", "seconds", "ops after", "changed"]]
    rows += [[row.name, f"{row.seconds:.3f}", str(row.ops), "yes" if row.changed else "no"] for row in timing.rows]
    rows.append(["all", f"{sum(row.seconds for row in timing.rows):.3f}"])
    return "\n".join(columns(rows)) + "\n"


def _json(compiled: Compiled) -> str:
    facts: dict[str, Any] = {
        **compiled.report,
        "output": compiled.folder,
        "seconds": round(compiled.seconds, 3),
        "requirements_met": compiled.met,
    }
    return to_json(facts)


def _text(compiled: Compiled, options: argparse.Namespace, output: Path) -> str:
    return result_text(compiled, options.model.name, f"{output}/", str(compiled.report["backend"]))
