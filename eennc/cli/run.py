"""`eennc run`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from eennc.artifact import to_json
from eennc.cli import OK
from eennc.cli.core import core_text
from eennc.cli.progress import progress_on
from eennc.cli.units import columns, microseconds, percent
from eennc.data.loading import check_split, load_split
from eennc.data.splits import Split
from eennc.ir.types import DType, TensorType
from eennc.runtime.counts import write_counts
from eennc.runtime.measure import Measurement, measure
from eennc.runtime.session import HostSession, check_input, checked_manifest, load
from eennc.support.diagnostics import UserError


def run(options: argparse.Namespace) -> int:
    """Measure an artefact; returns the exit code."""
    if options.on == "qemu":
        return run_on_core(options)
    if options.device is not None:
        raise UserError("--device is for --on qemu")
    session = load(options.folder, threads=options.threads)
    split = _first(options.samples, load_split("test", options.data, Path()))
    check_input(split.x, session.manifest)
    spec = session.manifest.input
    check_split(split, TensorType(spec.shape, DType.of(spec.dtype)), session.manifest.classes)
    with progress_on(sys.stderr, quiet=options.quiet) as progress:
        measured = measure(session, split, timed=options.timed, point=options.point, progress=progress)
    if options.counts is not None:
        write_counts(session.manifest, session.counts(), options.counts)
    sys.stdout.write(to_json(measured) if options.json else _text(measured, session, options))
    return OK


def run_on_core(options: argparse.Namespace) -> int:
    """Measure C code on an emulated core; returns the exit code."""
    from eennc.runtime.emulator.report import measure_on_core

    manifest = checked_manifest(options.folder)
    if manifest.c is None:
        raise UserError(
            f"an artefact of the {manifest.backend} backend does not run on an emulated core",
            hint="compile with -b cortexm, or leave --on qemu away",
        )
    split = _first(options.samples, load_split("test", options.data, Path()))
    check_input(split.x, manifest)
    check_split(split, TensorType(manifest.input.shape, DType.of(manifest.input.dtype)), manifest.classes)
    with progress_on(sys.stderr, quiet=options.quiet) as progress:
        measured = measure_on_core(
            options.folder,
            manifest,
            manifest.c,
            split,
            device=options.device,
            point=options.point,
            progress=progress,
        )
    if options.counts is not None:
        write_counts(manifest, {measured.point: [row.samples for row in measured.exits]}, options.counts)
    sys.stdout.write(to_json(measured) if options.json else core_text(measured, str(options.folder)))
    return OK


def _first(count: int | None, split: Split) -> Split:
    """The first samples; all of them where None."""
    rows = slice(count)
    y, groups, weights = split.y, split.groups, split.weights
    return Split(
        split.name,
        split.x[rows],
        None if y is None else y[rows],
        None if groups is None else groups[rows],
        None if weights is None else weights[rows],
    )


def _text(measured: Measurement, session: HostSession, options: argparse.Namespace) -> str:
    manifest = session.manifest
    point = "" if options.point in (None, *session.points[:1]) else f", operating point {options.point}"
    lines = [f"{options.folder}  ({manifest.name}, {manifest.backend}{point}), n = {measured.samples:,}", ""]
    rows = [["exit", "after", "stops", "accuracy", "median latency"]]
    for row in measured.exits:
        number = f"{row.exit:4}" if row.exit < len(manifest.exits) else "final"
        rows.append([number, row.place, percent(row.share), percent(row.accuracy), microseconds(row.median_us)])
    lines += [*columns(rows, left=2), ""]
    latency = measured.latency
    rows = [["", "accuracy", "balanced", "mean latency", "median"]]
    for name, accuracy, balanced, mean, median in (
        (
            "EENN",
            measured.accuracy,
            measured.balanced_accuracy,
            latency and latency.eenn_mean_us,
            latency and latency.eenn_median_us,
        ),
        (
            "base",
            measured.base_accuracy,
            measured.base_balanced_accuracy,
            latency and latency.base_mean_us,
            latency and latency.base_median_us,
        ),
    ):
        rows.append([name, percent(accuracy), percent(balanced), microseconds(mean), microseconds(median)])
    lines += columns(rows)
    if latency is not None:
        threads = f"{latency.threads} thread{'' if latency.threads == 1 else 's'}" if latency.threads else "all threads"
        lines += [
            "",
            f"mean latency EENN / base {latency.ratio:.3f}: {latency.samples:,} samples singly, by turns, {threads}",
        ]
    else:
        lines += ["", "no latency: nothing was timed, or the model takes several samples at once"]
    return "\n".join(lines) + "\n"
