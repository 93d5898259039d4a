"""The verb `run`."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

from eennc.cli import OK
from eennc.data.loading import load_split
from eennc.data.splits import Split


def run(options: Namespace) -> int:
    """Measure an artefact; returns the exit code."""
    from eennc.artifact import to_json
    from eennc.cli.progress import progress_for
    from eennc.cli.tables import measure_table
    from eennc.runtime import load
    from eennc.runtime.measure import measure
    from eennc.runtime.session import check_input, check_labels

    session = load(options.artefact, threads=options.threads)
    given = load_split("test", options.data, Path())
    taken = slice(options.samples)
    split = Split("test", given.x[taken], None if given.y is None else given.y[taken])
    check_input(split.x, session.manifest)
    check_labels(split.y, session.manifest)
    with progress_for(options.quiet) as progress:
        measured = measure(session, split, timed=options.timed, progress=progress)
    print(to_json(asdict(measured)) if options.json else measure_table(measured, options.artefact))
    return OK
