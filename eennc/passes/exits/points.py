"""The operating points of a module: sets of thresholds, chosen by name at run time."""

from __future__ import annotations

from eennc.ir.cuts import exits_of
from eennc.ir.graph import Module
from eennc.passes.exits.solve_thresholds import NORMAL


def operating_points(module: Module) -> dict[str, list[float]]:
    """Thresholds of every exit by operating point; the first, `normal`, is the exits' own."""
    exits = exits_of(module.main)
    names = module.attributes.get("points", ())
    found = {NORMAL: [exit.threshold for exit in exits]}
    for number, name in enumerate(names if isinstance(names, tuple) else ()):
        found[str(name)] = [exit.points[number] for exit in exits]
    return found
