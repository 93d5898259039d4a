"""Score tables of the real networks: what the threshold benchmarks run on.

    python benchmarks/real_tables.py OUT speech ecg      # OUT/speech.npz, OUT/ecg.npz; trains heads, some minutes

Needs the data folder (../shared/data, or $EENNC_DATA) and, for CIFAR-10, Pillow.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from real_data import DATA, REPO, TASKS

from eennc.data.cache import Cache
from eennc.driver import default_cache
from eennc.interop.onnx.reader import read_model
from eennc.passes.base import Context
from eennc.passes.exits.scoring import score_tables
from eennc.passes.exits.solve_thresholds import SolveThresholds
from eennc.passes.pipeline import Pipeline
from eennc.plugins import load_plugins
from eennc.policy.table import Costs, ScoreTable, Tables
from eennc.recipe import recipe_of
from eennc.recipe.inputs import splits_of


def make_tables(name: str, cache: Path | None = None) -> Tables:
    """The tables of a task of `real_data.TASKS`, heads trained by its example's recipe; cached."""
    model, example = TASKS[name]
    recipe = recipe_of(REPO / "examples" / example / "passes.yaml")
    ctx = Context(splits_of(recipe, None), Cache(cache or default_cache()))
    module = read_model(DATA / "models" / model)
    first = [] if recipe.input is None else [recipe.input]
    before = [p for p in recipe.passes if not isinstance(p, SolveThresholds)]
    Pipeline([*first, *before]).run(module, ctx)
    return score_tables(module, ctx)


def save_tables(tables: Tables, path: Path) -> None:
    """Write both splits' tables as an .npz."""
    assert tables.test is not None
    arrays = {"backbone": tables.costs.backbone, "head": tables.costs.head, "places": np.array(tables.places)}
    for table in (tables.calibration, tables.test):
        arrays[f"{table.split}_scores"] = table.scores
        arrays[f"{table.split}_labels"] = table.labels
        if table.groups is not None:
            arrays[f"{table.split}_groups"] = table.groups
    np.savez(path, **arrays)


def load_tables(path: Path) -> Tables:
    """What `save_tables` wrote."""
    with np.load(path) as found:

        def table(split: str) -> ScoreTable:
            groups = f"{split}_groups"
            return ScoreTable(
                split,
                found[f"{split}_scores"],
                found[f"{split}_labels"],
                groups=found.get(groups, None),
            )

        places = tuple(str(place) for place in found["places"])
        return Tables(places, Costs(found["backbone"], found["head"]), table("calibration"), table("test"))


def main() -> None:
    """Make the tables that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("tasks", nargs="*", choices=[*TASKS, []], help="default: all")
    given = parser.parse_args()
    if not DATA.is_dir():
        raise SystemExit(f"no data folder at {DATA}")
    load_plugins()
    given.folder.mkdir(parents=True, exist_ok=True)
    for name in given.tasks or TASKS:
        tables = make_tables(name)
        save_tables(tables, given.folder / f"{name}.npz")
        print(f"{name}: {tables.calibration.exits} exits, {len(tables.calibration):,} calibration samples", flush=True)


if __name__ == "__main__":
    main()
