"""Writes report.html."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from eennc.artifact import PAGE
from eennc.report.plot import front_plot


def write_page(report: Mapping[str, Any], folder: Path) -> Path:
    """Write the page of what report.json holds into `folder`; returns its path."""
    import jinja2  # slow to import

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters.update(percent=_percent, points=_points, count=_count)
    template = environment.from_string((files("eennc.report") / "page.html.jinja").read_text(encoding="utf-8"))
    result = report["result"]
    path = folder / PAGE
    path.write_text(
        template.render(report=report, result=result, plot=None if result is None else front_plot(result)),
        encoding="utf-8",
    )
    return path


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _points(loss: Mapping[str, float]) -> str:
    """A loss with its interval, in points."""
    return f"{100 * loss['point']:.2f} [{100 * loss['lower']:.2f}, {100 * loss['upper']:.2f}]"


def _count(number: float) -> str:
    return f"{number:,.0f}"
