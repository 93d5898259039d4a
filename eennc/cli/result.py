"""The table that a compilation prints."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from eennc.artifact import PAGE
from eennc.cli.units import columns, count, percent, points, size
from eennc.driver import Compiled
from eennc.policy.certificate import Certificate
from eennc.policy.choice import FamilyChoice
from eennc.policy.requirements import Verdict
from eennc.policy.statistics import Loss
from eennc.policy.summary import ExitRow, Outcome, SplitSummary, Summary

TELLING = 0.05
"""Gaps above this are in report.json, but say nothing to a reader."""


def result_text(compiled: Compiled, model: str, output: str, backend: str) -> str:
    """What goes to stdout, with a newline at the end."""
    title = f"{model} -> {output}  ({backend})"
    lines = [f"{title}{f'{compiled.seconds:.1f} s'.rjust(max(8, 96 - len(title)))}", ""]
    summary = compiled.summary
    stream = compiled.report["stream"]
    if stream is not None:
        lines += _stream(stream)
    elif summary is None:
        exits = compiled.manifest.exits if compiled.manifest else ()
        lines += [f"exits: {len(exits)}. No pass solved thresholds, so there are no figures.", ""]
    else:
        labels = compiled.module.attributes.get("labels")
        lines += _summary(summary, labels if isinstance(labels, tuple) else ())
    lines += _quantised(compiled.report["quantisation"])
    lines += _weights(compiled.report)
    lines += _memory(compiled.report["memory"])
    if summary is not None and compiled.folder is not None:
        lines += [f"  {len(summary.front)} points of cost and loss: {output}{PAGE}", ""]
    lines += [_verdict(verdict) for verdict in compiled.verdicts]
    if not compiled.met:
        lines.append(f"a requirement is missed; the artefact was written to {output} all the same")
    return "\n".join(lines).rstrip() + "\n"


def _quantised(found: Mapping[str, Any] | None) -> list[str]:
    """Float against int8, before any threshold."""
    if found is None:
        return []
    split = "test" if found["test"] else "calibration"
    balanced = "balanced " if found["metric"] == "balanced-accuracy" else ""
    rows = [[f"all of {split}", "after", "float", "int8", "same class", f"{balanced}loss in points, 95 % interval"]]
    for row in found[split]:
        loss = row["loss"]
        last = row["exit"] == len(found[split]) - 1
        rows.append(
            [
                "final" if last else f"{row['exit']:4}",
                row["place"],
                percent(row["float_accuracy"]),
                percent(row["int8_accuracy"]),
                percent(row["agreement"]),
                f"{points(loss['point'])} [{points(loss['lower'])}, {points(loss['upper'])}]",
            ]
        )
    return [*columns(rows, left=2), ""]


def _memory(found: Mapping[str, Any] | None) -> list[str]:
    """What the tensors take on a device."""
    if found is None:
        return []
    return [f"  arena {found['arena']:,} bytes, lower bound {found['bound']:,}; most at {found['worst']}", ""]


def _weights(report: Mapping[str, Any]) -> list[str]:
    """What the heads add to the weights."""
    eenn, base = report["cost"], report["base_cost"]
    if eenn is None or not base["params"]:
        return []
    shown = [f"{count(cost['params'])} in {size(cost['weight_bytes'])}" for cost in (eenn["total"], base)]
    more = percent(eenn["total"]["params"] / base["params"] - 1)
    return [f"  parameters: {shown[0]}, base {shown[1]} ({more} more)", ""]


def _summary(summary: Summary, labels: tuple[object, ...]) -> list[str]:
    shown = summary.test or summary.calibration
    lines = _exits(shown)
    near = f"; {shown.near_threshold} within 1e-4 of a threshold" if shown.near_threshold else ""
    lines += [f"  on {shown.split}, n = {shown.samples:,}{near}", ""]
    if summary.test is None:
        lines += ["  no test data: these samples chose the thresholds too, so the figures flatter", ""]
    lines += _outcomes(summary, [split for split in (summary.test, summary.calibration) if split is not None])
    if summary.recommended is not None and summary.recommended > summary.calibration.samples:
        lines += [
            "",
            f"  calibration has {summary.calibration.samples:,} samples; with about {_rounded(summary.recommended):,} "
            "the 95 % bound's margin would be half the limit",
        ]
    if summary.cost != "macs":
        found = ", ".join(f"{percent(saved)} on {split}" for split, saved in summary.cost_saved.items())
        lines += ["", f"  solved for {summary.cost}, as predicted: saved {found}"]
    if summary.metric == "balanced-accuracy":
        lines += ["", *_recall(shown, labels)]
    if summary.families is not None:
        lines += ["", *_families(summary.families, summary)]
    if summary.gap is not None and summary.gap <= TELLING:
        lines += ["", _proven(summary.gap, summary.grid_gap)]
    if summary.certificate is not None:
        lines += ["", *_guarantee(summary.certificate)]
    return [*lines, ""]


def _guarantee(certificate: Certificate) -> list[str]:
    lines = textwrap.wrap(f"guarantee: {certificate.statement}", 96, subsequent_indent="  ")
    units = f"{certificate.certifying:,} {certificate.unit}s, chosen on {certificate.ordering:,} others"
    if certificate.p_value is not None:
        lines.append(f"  {certificate.method}: p = {certificate.p_value:.2g} on {units}")
    elif certificate.bound is not None:
        lines.append(f"  {certificate.method}: {points(certificate.bound)} points on {units}")
    return lines


def _proven(gap: float, grid_gap: float | None) -> str:
    """How far from the optimum thresholds can be, of those of the exits that stay under what the solver was given."""
    on_grid = "none on the same grid saves more" if gap == 0 else f"one on the same grid saves at most {gap:.2%} more"
    beyond = "" if grid_gap is None else f", any others at most {grid_gap:.2%}"
    given = "for the exits that stay, under the limit that chose their thresholds"
    return f"proven on calibration, {given}: {on_grid}{beyond}, of the mean cost"


def _families(choice: FamilyChoice, summary: Summary) -> list[str]:
    """How thresholds do on samples that did not choose them."""
    title = f"thresholds {choice.family}: {choice.why}"
    expected = choice.expected
    if expected is None:
        return [title]
    parts = "parts of whole groups" if choice.grouped else "parts"
    lines = [
        title,
        f"expected on new data: {_loss(expected.loss, summary)} lost at {percent(expected.saved)} saved, "
        f"by cross-validation on {choice.folds} {parts} of calibration",
    ]
    if len(choice.rows) == 1 and choice.share == 1:
        return lines
    shares = any(row.share != 1 for row in choice.rows)
    rows = [["  so compared", *(["may lose"] if shares else []), "saved", "loss in points, 95 % interval"]]
    for row in choice.rows:
        share = ["none keeps it" if row.share is None else f"{row.share:g} x limit"] if shares else []
        rows.append([f"  {row.family}", *share, percent(row.saved), _interval(row.loss)])
    return [*lines, *columns(rows)]


def _loss(loss: Loss, summary: Summary) -> str:
    return f"{_interval(loss)} points{' of balanced accuracy' if summary.metric == 'balanced-accuracy' else ''}"


def _interval(loss: Loss) -> str:
    return f"{points(loss.point)} [{points(loss.lower)}, {points(loss.upper)}]"


def _exits(split: SplitSummary) -> list[str]:
    rows = [["exit", "after", "stops", "threshold", "accuracy", "MACs to here"]]
    for row in split.exits:
        last = row.threshold is None
        rows.append(
            [
                "final" if last else f"{row.exit:4}",
                row.place,
                percent(row.share),
                _threshold(row),
                percent(row.accuracy),
                count(row.macs),
            ]
        )
    return columns(rows, left=2)


def _stream(found: Mapping[str, Any]) -> list[str]:
    """What thresholds do to samples in their order."""
    shown = found["test"] or found["calibration"]
    rows = [["exit", "after", "stops", "threshold", "accuracy", "MACs to here"]]
    for row in shown["exits"]:
        last = row["threshold"] is None
        figures = [percent(row["share"]), "-" if last else f"{row['threshold']:.3f}", percent(row["accuracy"])]
        rows.append(["final" if last else f"{row['exit']:4}", row["place"], *figures, count(row["macs"])])
    lines = [*columns(rows, left=2), f"  on {shown['split']}, n = {shown['samples']:,}, in their order", ""]
    if found["test"] is None:
        lines += ["  no test data: these samples chose the thresholds too, so the figures flatter", ""]
    rows = [["", "accuracy", "mean MACs", "saved", "loss in points, 95 % interval"]]
    for split in (found["test"], found["calibration"]):
        if split is None:
            continue
        sequences = f", {split['sequences']} sequences" if split["sequences"] else ""
        rows.append([f"{split['split']}, n = {split['samples']:,}{sequences}"])
        loss = split["loss"]
        interval = f"{points(loss['point'])} [{points(loss['lower'])}, {points(loss['upper'])}]"
        rows.append(["  EENN", percent(split["accuracy"]), count(split["macs"]), percent(split["saved"]), interval])
        rows.append(["  base", percent(split["base_accuracy"]), count(split["base_macs"])])
    return [*lines, *columns(rows), ""]


def _rounded(number: int) -> int:
    """Two digits are all that such an estimate is good for."""
    step = 10 ** max(len(str(number)) - 2, 0)
    return -(-number // step) * step


def _threshold(row: ExitRow) -> str:
    if row.threshold is None:
        return "-"
    classes = [t for t in row.class_thresholds if t is not None]
    most = max(classes, default=row.threshold)
    return f"{row.threshold:.3f}" if most == row.threshold else f"{row.threshold:.3f}..{most:.3f}"


def _outcomes(summary: Summary, splits: list[SplitSummary]) -> list[str]:
    balanced = summary.metric == "balanced-accuracy"
    loss = f"{'balanced ' if balanced else ''}loss in points, 95 % interval"
    rows = [["", "accuracy", *(["balanced"] if balanced else []), "mean MACs", "saved", loss]]
    static = "best static cut" + (f", at {summary.static_place}" if summary.static_place else ": none")
    for split in splits:
        groups = f", {split.groups} groups" if split.groups else ""
        rows.append([f"{split.split}, n = {split.samples:,}{groups}"])
        rows.append(["  EENN", *_cells(split.eenn, summary)])
        rows.append([f"  {static}", *_cells(split.static, summary)])
        for point in summary.points:
            achieved = point.test if split is summary.test and point.test is not None else point.calibration
            rows.append([f"  EENN at point {point.name}, limit {point.limit:g}", *_cells(achieved, summary)])
        rows.append(["  base", *_cells(split.base, summary)[:-2]])
    return columns(rows)


def _cells(outcome: Outcome, summary: Summary) -> list[str]:
    balanced = summary.metric == "balanced-accuracy"
    loss = outcome.loss_in(summary.metric)
    return [
        percent(outcome.accuracy),
        *([percent(outcome.balanced_accuracy)] if balanced else []),
        count(outcome.macs),
        percent(outcome.saved),
        _interval(loss),
    ]


def _recall(split: SplitSummary, labels: tuple[object, ...]) -> list[str]:
    rows = [[f"recall on {split.split}", "EENN", "base"]]
    for number, (eenn, base) in enumerate(zip(split.eenn.recall, split.base.recall, strict=True)):
        name = str(labels[number]) if number < len(labels) else f"class {number}"
        rows.append([f"  {name}", percent(eenn), percent(base)])
    return columns(rows)


def _verdict(verdict: Verdict) -> str:
    wanted = verdict.requirement
    sign = ">=" if wanted.at_least else "<="
    side = "lower" if wanted.at_least else "upper"
    judged = "" if wanted.statistic == "point" else f" by its {side} 95 % bound {verdict.bound:.4f}"
    return (
        f"require: {wanted.quantity} {sign} {wanted.limit:g} on {wanted.split} "
        f"{'ok' if verdict.met else 'MISSED'}{judged} "
        f"({verdict.value:.4f}, 95 % interval [{verdict.lower:.4f}, {verdict.upper:.4f}], n = {verdict.samples:,})"
    )
