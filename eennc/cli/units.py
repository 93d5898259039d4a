"""Numbers as people read them, and columns."""

from __future__ import annotations

from collections.abc import Sequence


def count(value: float) -> str:
    """`940`, `12.3 k`, `2.66 M`, `1.20 G`: three digits or so."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        # what rounds up to the next unit is written in that
        if value >= 0.9995 * size:
            scaled = value / size
            return f"{scaled:.2f}{unit}" if scaled < 100 else f"{scaled:,.0f}{unit}"
    return f"{value:.0f}"


def size(value: float) -> str:
    """Bytes: `940 B`, `12.3 kB`."""
    text = count(value)
    return f"{text}B" if text[-1].isalpha() else f"{text} B"


def percent(share: float | None) -> str:
    """`61.2 %`, or `-`."""
    return "-" if share is None else f"{100 * share:.1f} %"


def points(share: float) -> str:
    """A difference of accuracies in points: 0.0123 is `1.23`."""
    return f"{100 * share + 0.0:.2f}"


def microseconds(value: float | None) -> str:
    """`45 us`, `1.20 ms`, or `-`."""
    if value is None:
        return "-"
    return f"{value:.0f} us" if value < 1000 else f"{value / 1000:.2f} ms"


def columns(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Rows of cells as lines: the first `left` columns to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    lines: list[str] = []
    for row in rows:
        cells = [cell.ljust(widths[i]) if i < left else cell.rjust(widths[i]) for i, cell in enumerate(row)]
        lines.append(("  " + "   ".join(cells)).rstrip())
    return lines
