"""The tables on stdout."""

from __future__ import annotations

from collections.abc import Sequence

from eennc.driver import Compiled
from eennc.passes.instruments import TimingRow
from eennc.policy.summary import Outcome, SplitSummary, Summary
from eennc.runtime.measure import Measurement

HEADINGS = ("exit", "after", "stops", "threshold", "accuracy", "MACs to here")


def macs_text(macs: float) -> str:
    """MACs with a unit: 0.94 M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if macs >= size * 0.1 or unit == "k":
            return f"{macs / size:.2f} {unit}"
    return str(macs)


def percent(share: float | None) -> str:
    """A share in percent, `-` for none."""
    return "-" if share is None else f"{100 * share:.1f} %"


def _columns(rows: Sequence[Sequence[str]], left: frozenset[int]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def compile_table(compiled: Compiled, model: str, output: str, seconds: float) -> str:
    """What a compile achieved."""
    lines = [f"{model} -> {output}  ({compiled.report['backend']})  {seconds:.1f} s"]
    summary = compiled.summary
    if summary is None:
        return "\n".join([*lines, "no pass solved thresholds, so there is nothing to report"])
    last = summary.test or summary.calibration
    lines += ["", *_exit_rows(last), ""]
    for split in (summary.calibration, summary.test):
        if split is not None:
            lines += [*_split_rows(split, summary), ""]
    if summary.test is None:
        lines += ["there are no test data: the figures are of the samples that chose the thresholds", ""]
    lines += [f"require: {verdict}" for verdict in compiled.verdicts]
    return "\n".join(lines).rstrip()


def _exit_rows(split: SplitSummary) -> list[str]:
    rows: list[tuple[str, ...]] = [HEADINGS]
    for row in split.exits:
        last = row.threshold is None
        rows.append(
            (
                "final" if last else str(row.exit),
                row.place,
                percent(row.share),
                "-" if row.threshold is None else f"{row.threshold:.3f}",
                percent(row.accuracy),
                macs_text(row.macs),
            )
        )
    return _columns(rows, frozenset({1}))


def _split_rows(split: SplitSummary, summary: Summary) -> list[str]:
    balanced = summary.metric == "balanced-accuracy"
    groups = f", {split.groups} groups" if split.groups else ""
    rows = [
        (
            f"{split.split}, n = {split.samples:,}{groups}",
            "accuracy",
            *(["balanced"] if balanced else []),
            "mean MACs",
            "saved",
            "loss and its 95 % interval, points",
        )
    ]
    cut = "whole network" if summary.static_place is None else f"cut after {summary.static_place}"
    for name, outcome in (("base", split.base), ("EENN", split.eenn), (f"best static cut ({cut})", split.static)):
        rows.append(
            (
                f"  {name}",
                percent(outcome.accuracy),
                *([percent(outcome.balanced_accuracy)] if balanced else []),
                macs_text(outcome.macs),
                percent(outcome.saved) if name != "base" else "",
                _loss_text(outcome, summary) if name != "base" else "",
            )
        )
    lines = _columns(rows, frozenset({0}))
    if balanced:
        recalls = [f"{percent(a)} -> {percent(b)}" for a, b in zip(split.base.recall, split.eenn.recall, strict=True)]
        lines.append(f"  recall per class, base -> EENN: {', '.join(recalls)}")
    if split.near_threshold:
        lines.append(f"  {split.near_threshold} samples lie within 1e-4 of a threshold")
    return lines


def _loss_text(outcome: Outcome, summary: Summary) -> str:
    loss = outcome.loss_in(summary.metric)
    return f"{100 * loss.point:+.2f}  ({100 * loss.lower:+.2f} to {100 * loss.upper:+.2f})"


def timing_table(rows: Sequence[TimingRow]) -> str:
    """How long each pass took."""
    listed = [("pass", "seconds", "changed", "ops after")]
    listed += [(row.name, f"{row.seconds:.2f}", "yes" if row.changed else "no", str(row.ops)) for row in rows]
    listed.append(("total", f"{sum(row.seconds for row in rows):.2f}", "", ""))
    return "\n".join(_columns(listed, frozenset({0})))


def measure_table(measured: Measurement, artefact: str) -> str:
    """What a run measured."""
    lines = [f"{artefact} on this computer, {measured.samples:,} samples", ""]
    rows: list[tuple[str, ...]] = [("exit", "after", "stops", "accuracy", "median latency")]
    for exit in measured.exits:
        last = exit is measured.exits[-1]
        latency = "-" if exit.median_us is None else f"{exit.median_us:,.0f} us"
        rows.append(
            ("final" if last else str(exit.exit), exit.place, percent(exit.share), percent(exit.accuracy), latency)
        )
    lines += [*_columns(rows, frozenset({1})), ""]
    table = [("", "accuracy", "balanced", "mean latency", "median")]
    timed = measured.latency
    for name, accuracy, balanced, mean, median in (
        (
            "base",
            measured.base_accuracy,
            measured.base_balanced_accuracy,
            timed and timed.base_mean_us,
            timed and timed.base_median_us,
        ),
        (
            "EENN",
            measured.accuracy,
            measured.balanced_accuracy,
            timed and timed.eenn_mean_us,
            timed and timed.eenn_median_us,
        ),
    ):
        table.append(
            (
                name,
                percent(accuracy),
                percent(balanced),
                "-" if mean is None else f"{mean:,.0f} us",
                "-" if median is None else f"{median:,.0f} us",
            )
        )
    lines += _columns(table, frozenset({0}))
    if timed:
        saved = 100 * (1 - timed.ratio)
        lines.append(
            f"mean latency EENN / base: {timed.ratio:.3f} ({saved:.1f} % saved), {timed.samples} samples one at a time, "
            f"by turns, {timed.threads} thread{'s' if timed.threads != 1 else ''}"
        )
    return "\n".join(lines)
