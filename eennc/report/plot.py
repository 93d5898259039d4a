"""The plot of the Pareto front: MACs saved against loss, as coordinates for an SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 720, 380
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 20, 50
"""Margins around the axes."""
STEPS = (1.0, 2.0, 2.5, 5.0)


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high` along pixels from `begin` to `end`, with a tick at each of `ticks`."""

    low: float
    high: float
    begin: float
    end: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """The pixel of a value; one outside stands on the border."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.begin + share * (self.end - self.begin), 1)


@dataclass(frozen=True)
class Series:
    """One split's points (x, y); `band`: the corners of the interval around them."""

    name: str
    points: tuple[tuple[float, float], ...]
    band: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Plot:
    """x: MACs saved in %; y: loss in points. limit: the pixel of the goal's limit. cuts: static cuts on the split that
    is shown last, as (x, y, place).
    """

    x: Axis
    y: Axis
    series: tuple[Series, ...]
    limit: float | None
    chosen: tuple[float, float]
    cuts: tuple[tuple[float, float, str], ...]
    width: int = WIDTH
    height: int = HEIGHT


def front_plot(result: Mapping[str, Any]) -> Plot | None:
    """The plot of a report's result; None where the front is a single point."""
    front: Sequence[Mapping[str, Any]] = result["front"]
    if len(front) < 2:
        return None
    splits = [name for name in ("calibration", "test") if result[name] is not None]
    shown = result[splits[-1]]
    losses = [100 * point[name]["loss"]["point"] for name in splits for point in front]
    chosen = _loss(shown["eenn"], result["metric"])
    top = max(*losses, 100 * (result["limit"] or 0), 100 * chosen["upper"])
    # beyond what is of interest the front climbs to the loss of a guess
    top = min(top, max(20.0, 300 * (result["limit"] or 0)))
    x = _axis(min(0.0, *(100 * point[name]["saved"] for name in splits for point in front)), 100, LEFT, WIDTH - RIGHT)
    y = _axis(min(0.0, *losses), top, HEIGHT - BOTTOM, TOP)
    cuts = tuple(
        (x.at(100 * (1 - head["macs"] / shown["base"]["macs"])), y.at(100 * head["loss"]["point"]), head["place"])
        for head in shown["heads"]
        if 100 * head["loss"]["point"] <= y.high and shown["base"]["macs"]
    )
    return Plot(
        x,
        y,
        tuple(_series(name, front, x, y) for name in splits),
        None if result["limit"] is None else y.at(100 * result["limit"]),
        (x.at(100 * shown["eenn"]["saved"]), y.at(100 * chosen["point"])),
        cuts,
    )


def _loss(outcome: Mapping[str, Any], metric: str) -> Mapping[str, Any]:
    return outcome["balanced_loss" if metric == "balanced-accuracy" else "loss"]


def _series(name: str, front: Sequence[Mapping[str, Any]], x: Axis, y: Axis) -> Series:
    # the last point that is still below the top ends the line
    within = [point[name] for point in front if 100 * point[name]["loss"]["point"] <= y.high]
    across = [x.at(100 * found["saved"]) for found in within]

    def at(which: str) -> list[tuple[float, float]]:
        heights = [y.at(100 * found["loss"][which]) for found in within]
        return list(zip(across, heights, strict=True))

    return Series(name, tuple(at("point")), (*at("lower"), *reversed(at("upper"))))


def _axis(low: float, high: float, begin: float, end: float) -> Axis:
    """An axis of about six round ticks that holds both ends."""
    rough = max(high - low, 1e-6) / 6
    decade = 10 ** math.floor(math.log10(rough))
    step = next((factor * decade for factor in STEPS if factor * decade >= rough), 10 * decade)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(round(number * step, 10) for number in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], begin, end, ticks)
