"""report.html, read back with an HTML parser."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from policy.score_tables import made_costs, made_table

from eennc.artifact import plain
from eennc.policy.goal import Goal
from eennc.policy.solve import solve
from eennc.policy.summary import summarise
from eennc.policy.table import Tables
from eennc.report.page import write_page
from eennc.report.plot import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, front_plot


class Page(HTMLParser):
    """Tags that are open, the text of cells, and the attributes of marks."""

    void = ("meta", "line", "circle", "polyline", "polygon")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.marks: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.marks.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.marks.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


def report(*, exits: int = 4, test: bool = True, metric: str = "accuracy") -> dict[str, Any]:
    tables = Tables(
        tuple(f"<b>layer{k}" for k in range(exits)),
        made_costs(exits),
        made_table(exits, 600, classes=4),
        made_table(exits, 500, classes=4, seed=1, split="test") if test else None,
    )
    goal = Goal(0.02, metric)
    summary = summarise(
        tables,
        solve(tables.calibration, tables.costs, goal),
        goal,
        lambda other: solve(tables.calibration, tables.costs, other),
    )
    found: Any = plain(
        {
            "eennc": "1.0",
            "model": {"name": "<script>alert(1)</script>", "source_file": "a&b.onnx"},
            "backend": "onnx",
            "passes": ["canonicalise"],
            "seed": 0,
            "data": {"train": {"samples": 100, "labels": False, "groups": True}},
            "result": summary,
            "require": (),
            "warnings": ("odd <thing>",),
        }
    )
    return found


@pytest.mark.parametrize("metric", ["accuracy", "balanced-accuracy"])
@pytest.mark.parametrize("test", [True, False])
def test_the_page_shows_the_front_and_runs_nothing(tmp_path: Path, metric: str, test: bool) -> None:
    given = report(test=test, metric=metric)
    page = Page(write_page(given, tmp_path).read_text(encoding="utf-8"))
    assert page.open == []
    assert not {"script", "b", "link", "img"} & set(page.tags)
    assert not any("href" in attrs or "src" in attrs for _, attrs in page.marks)
    for point in given["result"]["front"]:
        assert f"{100 * point['calibration']['saved']:.1f} %" in page.cells
    assert "<b>layer0" in page.cells
    series = 1 + test
    within = [p for p in given["result"]["front"] if 100 * p["calibration"]["loss"]["point"] <= 20]
    assert page.tags.count("polyline") == series
    assert page.tags.count("circle") >= len(within) + 1


def test_marks_stand_where_their_values_are() -> None:
    given = report()["result"]
    plot = front_plot(given)
    assert plot is not None
    shown = given["front"][: len(plot.series[0].points)]
    for point, (x, y) in zip(shown, plot.series[0].points, strict=True):
        share = (x - LEFT) / (WIDTH - RIGHT - LEFT)
        assert plot.x.low + share * (plot.x.high - plot.x.low) == pytest.approx(
            100 * point["calibration"]["saved"], abs=0.05
        )
        height = (HEIGHT - BOTTOM - y) / (HEIGHT - BOTTOM - TOP)
        assert plot.y.low + height * (plot.y.high - plot.y.low) == pytest.approx(
            100 * point["calibration"]["loss"]["point"], abs=0.05
        )
    for axis in (plot.x, plot.y):
        assert 4 <= len(axis.ticks) <= 9
        assert np.allclose(np.diff(axis.ticks), axis.ticks[1] - axis.ticks[0])


def test_without_exits_there_is_no_plot(tmp_path: Path) -> None:
    given = report(exits=0)
    assert front_plot(given["result"]) is None
    assert "svg" not in Page(write_page(given, tmp_path).read_text(encoding="utf-8")).tags
    bare = {**given, "result": None}
    assert "No pass solved thresholds" in write_page(bare, tmp_path).read_text(encoding="utf-8")
