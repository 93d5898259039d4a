"""`eennc diff`."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from eennc.artifact import to_json
from eennc.cli import OK
from eennc.cli.progress import progress_on
from eennc.cli.units import columns, percent
from eennc.data.loading import check_split, load_split
from eennc.difference import Difference, difference
from eennc.ir.types import DType, TensorType
from eennc.runtime.session import check_input, load


def diff(options: argparse.Namespace) -> int:
    """Compare a quantised artefact with its float network; returns the exit code."""
    session = load(options.folder)
    split = load_split("test", options.data, Path())
    x = split.x[: options.samples]
    check_input(x, session.manifest)
    spec = session.manifest.input
    check_split(split, TensorType(spec.shape, DType.of(spec.dtype)), session.manifest.classes)
    with progress_on(sys.stderr, quiet=options.quiet) as progress:
        found = difference(session, options.model, x, limit=options.limit, progress=progress)
    sys.stdout.write(to_json(found) if options.json else _text(found, options))
    return OK


def _text(found: Difference, options: argparse.Namespace) -> str:
    lines = [f"{options.folder} against {options.model}, n = {found.samples:,}", ""]
    rows = [["layer", "op", "signal to noise", "its own"]]
    rows += [[layer.node, layer.op, _decibels(layer.signal_to_noise), _decibels(layer.own)] for layer in found.layers]
    lines += columns(rows, left=2)
    if found.departs is None:
        lines += ["", f"  no layer is below {found.limit:g} dB"]
    else:
        first = found.layers[found.departs]
        lines += ["", f"  the first below {found.limit:g} dB: {first.node} ({first.op})"]
    rows = [["exit", "after", "in floats", "in integers", "only in one"]]
    for row in found.exits:
        number = f"{row.exit:4}" if row is not found.exits[-1] else "final"
        rows.append([number, row.place, percent(row.float_share), percent(row.int8_share), f"{row.flips:,}"])
    lines += ["", *columns(rows, left=2), ""]
    n = found.samples
    lines += [
        f"  another exit: {found.flips:,} of {n:,} samples, another class: {found.classes:,}",
        f"  float network against the model: {_decibels(found.model)}",
        f"  artefact on this computer against the integer arithmetic: exits {percent(found.artefact_exits)}, "
        f"classes {percent(found.artefact_classes)} equal",
    ]
    return "\n".join(lines) + "\n"


def _decibels(value: float | None) -> str:
    if value is None:
        return "-"
    return "exact" if value == math.inf else f"{value:.1f} dB"
