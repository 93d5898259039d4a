"""The verb `compile`, and what looks inside."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from pathlib import Path

from eennc.cli import MISSED, OK
from eennc.support.diagnostics import UserError


def compile_(options: Namespace) -> int:
    """Compile, or list or explain something; returns the exit code."""
    from eennc.plugins import load_file, load_plugins

    if options.list or options.explain:
        from eennc.cli import catalogue

        load_plugins()
        for file in options.load:
            load_file(Path(file))
        print(catalogue.explain(options.explain) if options.explain else catalogue.listed(options.list))
        return OK
    if options.model is None:
        raise UserError("no model is given", hint="eennc MODEL -p passes.yaml -b onnx -o build/   (eennc --help)")
    return _compile(options)


def _compile(options: Namespace) -> int:
    from eennc import driver
    from eennc.cli.progress import Stages, progress_for
    from eennc.cli.tables import compile_table, timing_table
    from eennc.passes.instruments import DumpIR, PrintIR, Timing
    from eennc.passes.pipeline import Instrument

    if options.seed is not None and options.seed < 0:
        raise UserError("--seed must be 0 or more")
    start = time.perf_counter()
    timing = Timing()
    instruments: list[Instrument] = [timing]
    instruments.append(
        PrintIR(
            sys.stderr,
            before=frozenset(options.print_ir_before),
            after=frozenset(options.print_ir_after),
            after_all=options.print_ir_after_all,
        )
    )
    if options.dump_ir:
        instruments.append(DumpIR(Path(options.dump_ir)))
    given = {split: getattr(options, split) for split in ("train", "calibration", "test")}
    output = options.output or "build"
    with progress_for(options.quiet) as progress:
        compiled = driver.compile(
            options.model,
            passes=options.passes,
            backend=options.backend,
            output=output,
            data={split: source for split, source in given.items() if source},
            load=options.load,
            cache_dir=options.cache_dir,
            seed=options.seed,
            stop_after=options.stop_after,
            instruments=[*instruments, Stages(progress)],
            progress=progress,
        )
    seconds = time.perf_counter() - start
    if options.time_passes:
        print(timing_table(timing.rows), file=sys.stderr)
    if options.stop_after:
        from eennc.ir.printer import print_module

        print(print_module(compiled.module), end="")
        return OK
    if options.json:
        from eennc.artifact import to_json

        print(to_json(compiled.report), end="")
    else:
        print(compile_table(compiled, Path(options.model).name, output, seconds))
    return OK if compiled.met else MISSED
