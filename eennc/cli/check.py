"""`eennc check`."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import cast

from eennc.artifact import Manifest, read_report, to_json
from eennc.cli import MISSED, OK
from eennc.cli.units import columns, percent
from eennc.ir.rules import STREAM
from eennc.policy.drift import Drift, drift
from eennc.runtime.counts import read_counts
from eennc.runtime.session import checked_manifest, point_number
from eennc.support.diagnostics import UserError


def check(options: argparse.Namespace) -> int:
    """Compare counts from the field with those of the calibration; returns the exit code."""
    if not 0 < options.level < 1:
        raise UserError(f"--level must lie between 0 and 1, not at {options.level:g}")
    manifest = checked_manifest(options.folder)
    names = tuple(point.name for point in manifest.points)
    point = options.point or (names[0] if names else "")
    calibration = manifest.points[point_number(point, names)].calibration if names else None
    if calibration is None:
        raise UserError(
            "the build does not hold how often its exits answered on the calibration samples",
            hint="compile it again, with solve-thresholds as the last pass that changes thresholds",
        )
    found = drift(calibration, read_counts(options.counts, manifest, point), level=options.level)
    if options.json:
        content = {**dataclasses.asdict(found), "point": point, "fits": found.fits, "most": found.most}
        sys.stdout.write(to_json(content))
    else:
        sys.stdout.write(_text(found, manifest, point, options))
    return OK if found.fits else MISSED


def _text(found: Drift, manifest: Manifest, point: str, options: argparse.Namespace) -> str:
    lines = [f"{options.folder}  ({manifest.name}, {manifest.backend}), operating point {point}", ""]
    rows = [["exit", "after", "calibration", "", "field", "", "points", "std. errors"]]
    before, now = (_shares(counts) for counts in (found.calibration, found.field))
    places = [*(exit.place for exit in manifest.exits), "classifier"]
    for k, place in enumerate(places):
        number = "final" if k == len(manifest.exits) else f"{k:4}"
        counted = [f"{found.calibration[k]:,}", percent(before[k]), f"{found.field[k]:,}", percent(now[k])]
        rows.append([number, place, *counted, f"{100 * (now[k] - before[k]):+.1f}", f"{found.residuals[k]:+.1f}"])
    rows.append(["", "all", f"{sum(found.calibration):,}", "", f"{sum(found.field):,}"])
    lines += [*columns(rows, left=2), ""]
    p = f"p = {found.p_value:.4f}" if found.p_value >= 1e-4 else f"p = {found.p_value:.1e}"
    by = "" if found.method == "chi-square" else ", by permutation: some expected counts are below 5"
    lines += [
        f"homogeneity: chi-square {found.statistic:.2f}, degrees of freedom {found.degrees}, {p}{by}; "
        f"level {found.level:g}",
    ]
    k = found.most
    where = f"exit {k} ('{places[k]}')" if k < len(manifest.exits) else "the last classifier"
    most = f"most at {where}: {percent(now[k])} against {percent(before[k])}"
    lines.append(f"fits calibration; they differ {most}" if found.fits else f"DRIFT: shares differ, {most}")
    if _grouped(options.folder) or any(exit.rule == STREAM for exit in manifest.exits):
        lines.append(
            "the samples came in groups or in sequences: the test takes them as independent, and warns too often"
        )
    return "\n".join(lines) + "\n"


def _shares(counts: tuple[int, ...]) -> list[float]:
    return [n / sum(counts) for n in counts]


def _grouped(folder: Path) -> bool:
    """Whether the calibration samples came in groups (speakers, patients)."""
    data = read_report(folder).get("data")
    split = cast("dict[str, object]", data).get("calibration") if isinstance(data, dict) else None
    return isinstance(split, dict) and bool(cast("dict[str, object]", split).get("groups"))
