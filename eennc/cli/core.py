"""What `eennc run --on qemu` prints."""

from __future__ import annotations

from eennc.cli.units import columns, count, percent
from eennc.runtime.emulator.report import CoreMeasurement


def core_text(measured: CoreMeasurement, folder: str) -> str:
    """The measurement as a table."""
    m = measured
    point = "" if m.point == "normal" else f", operating point {m.point}"
    lines = [f"{folder}  ({m.device}, {m.core} under QEMU{point}), n = {m.samples:,}", ""]
    rows = [["exit", "after", "stops", "accuracy", "instructions", "est. cycles"]]
    for row in m.exits:
        number = f"{row.exit:4}" if row.exit < len(m.exits) - 1 else "final"
        figures = [percent(row.share), percent(row.accuracy), _number(row.instructions), _number(row.cycles)]
        rows.append([number, row.place, *figures])
    lines += [*columns(rows, left=2), ""]
    rows = [["", "accuracy", "instructions, mean", "worst", "est. cycles, mean", "worst"]]
    rows.append(
        [
            "EENN",
            percent(m.accuracy),
            _number(m.instructions_mean),
            _number(m.instructions_worst),
            _number(m.cycles_mean),
            _number(m.cycles_worst),
        ]
    )
    rows.append(["base", percent(m.base_accuracy), _number(m.base_instructions), "", "", ""])
    lines += [*columns(rows), ""]
    predicted = "" if m.predicted_saved is None else f"; predicted {percent(m.predicted_saved)}"
    lines.append(f"saved {percent(m.saved)} of the base network's instructions{predicted}")
    if m.cycles_source is not None:
        lines.append(f"cycles are estimates: {m.cycles_source}")
    else:
        lines.append(f"no cycles: instructions of the {m.core} overlap, so that no table of them tells")
    flash = m.flash
    lines += [
        "",
        f"flash {flash.total:,} bytes: code {flash.code:,}, constants {flash.constants:,}, data {flash.data:,}",
        f"memory: arena {m.arena:,} bytes (lower bound {m.arena_bound:,}), stack {m.stack:,}",
    ]
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "-" if value is None else count(value)
