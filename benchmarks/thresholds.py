"""Threshold solvers on score tables: cost, gap to what is proven, time, memory, and growth with the table's size.

    python benchmarks/thresholds.py exact                    # 5 exits x 100 thresholds x 5,000 samples
    python benchmarks/thresholds.py gaps [--tables FOLDER]   # 10 exits x 100 thresholds x 5,000 samples
    python benchmarks/thresholds.py growth
    python benchmarks/thresholds.py descent                  # 50 exits x 100 thresholds x 100,000 samples
    python benchmarks/thresholds.py starts --seconds 600     # makes the reference that `descent` compares with

Tables are made up (`tests/policy/score_tables.py`): all exits meet one difficulty per sample, and `noise` makes them
disagree. A folder of real tables is what real_tables.py writes. Times are this process's CPU time, compiled functions
warm; memory is the peak of the whole process.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests/policy"))
from score_tables import made_costs, made_table

from eennc.policy.calibration import temperatures
from eennc.policy.solvers.branch import ROOT_STEPS, solve_branching
from eennc.policy.solvers.descent import solve_descent
from eennc.policy.solvers.independent import solve_independent
from eennc.policy.solvers.per_exit import Grids, grids, policy_value, without_idle
from eennc.policy.solvers.problem import Problem, keeps, problem
from eennc.policy.solvers.rounds import CONSTRAINED, code, descend
from eennc.policy.solvers.shared import solve_shared
from eennc.policy.table import Costs, Ints, ScoreTable

REFERENCE = Path(__file__).with_name("thresholds_reference.json")
KINDS = ("weighted", "point", "upper95")
PRICE, LIMIT, LIMIT95 = 3.0, 0.01, 0.02
NOISES = (0.3, 1.0, 2.0)
REAL_SAMPLES, REAL_EXITS = 5000, 10


def pose(table: ScoreTable, costs: Costs, kind: str) -> Problem:
    """weighted: cost + PRICE networks * loss, no limit. Else a limit on the loss."""
    fitted = temperatures(table)
    if kind == "weighted":
        return problem(table, costs, fitted, price=PRICE)
    if kind == "point":
        return problem(table, costs, fitted, LIMIT)
    return problem(table, costs, fitted, LIMIT95, statistic="upper95")


def made(exits: int, samples: int, noise: float, seed: int) -> tuple[ScoreTable, Costs]:
    """A table and its costs; heads cost 2 % of the backbone's stretch between two exits, in the mean."""
    return made_table(exits, samples, seed=seed, noise=noise), made_costs(exits, seed=seed)


def synthetic(exits: int) -> Iterator[tuple[str, ScoreTable, Costs]]:
    """Tables of 5,000 samples."""
    for noise in NOISES:
        for seed in range(2):
            yield f"noise {noise}, seed {seed}", *made(exits, 5000, noise, seed)


def of_folder(folder: Path) -> Iterator[tuple[str, ScoreTable, Costs]]:
    """The real tables of a folder: both splits together, at most REAL_SAMPLES samples with a fixed seed and REAL_EXITS
    exits evenly spread.
    """
    from real_tables import load_tables

    for file in sorted(folder.glob("*.npz")):
        tables = load_tables(file)
        if len(tables.places) > REAL_EXITS:
            tables = tables.only(np.linspace(0, len(tables.places) - 1, REAL_EXITS).round().astype(int).tolist())
        assert tables.test is not None
        both = tables.calibration, tables.test
        scores = np.concatenate([part.scores for part in both], axis=1)
        labels = np.concatenate([part.labels for part in both])
        chosen = np.random.default_rng(0).permutation(len(labels))[:REAL_SAMPLES]
        yield file.stem, ScoreTable("calibration", scores[:, chosen], labels[chosen]), tables.costs


def warm_up() -> None:
    """Compile all that is timed."""
    for kind in KINDS:
        table, costs = made(3, 600, 1.0, 0)
        posed = pose(table, costs, kind)
        # more than 255 thresholds are compiled apart
        solve_descent(posed, grids(posed, 400), (), 0)
        prepared = grids(posed, 6)
        solve_branching(posed, prepared, solve_descent(posed, prepared, (), 0), 3, 10)
        solve_shared(posed)
        solve_independent(posed, table.classes)


def share(posed: Problem, prepared: Grids, indices: Ints) -> float:
    """Cost in networks, inf where a limit is broken."""
    cost, over = policy_value(posed, prepared.levels, prepared.never, indices)
    return cost / float(posed.backbone[-1]) if keeps(over) else float("inf")


def row(*cells: object) -> None:
    """A line of a markdown table."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def header(*cells: str) -> None:
    """The head of a markdown table."""
    row(*cells)
    row(*("---" for _ in cells))


def gap_text(gap: float) -> str:
    """A share in percent; 0 is a proof."""
    return "0 (proven)" if gap == 0 else f"{gap:.2%}"


def bounded(name: str, table: ScoreTable, costs: Costs, kind: str, boxes: int, root_steps: int) -> float:
    """A row with all solvers on one table; returns the gap that branch and bound leaves."""
    posed = pose(table, costs, kind)
    shared, independent = solve_shared(posed), solve_independent(posed, table.classes)
    prepared = grids(posed, 100, shared, independent)
    network = float(posed.backbone[-1])
    begun = time.process_time()
    found = solve_descent(posed, prepared, [prepared.indices(p) for p in (shared, independent)], 0)
    descended = time.process_time()
    proven = solve_branching(posed, prepared, found, boxes, root_steps)
    ended = time.process_time()
    others = [share(posed, prepared, prepared.indices(p)) for p in (independent, shared)]
    row(
        name,
        kind,
        *("breaks it" if np.isinf(cost) else f"{cost:.4f}" for cost in others),
        f"{share(posed, prepared, found):.4f}",
        f"{descended - begun:.2f} s",
        f"{proven.cost / network:.4f}",
        gap_text(proven.gap),
        f"{proven.grid_gap:.2%}",
        f"{ended - descended:.1f} s",
    )
    return proven.gap


COLUMNS = (
    "table",
    "problem",
    "independent",
    "shared",
    "descent",
    "time",
    "branch and bound",
    "gap",
    "gap, any thresholds",
    "time",
)


def compare(exits: int, kinds: list[str], boxes: int, root_steps: int, folder: Path | None) -> None:
    """All solvers on a folder's tables, or on made ones; costs in networks."""
    header(*COLUMNS)
    gaps: dict[str, list[float]] = {kind: [] for kind in kinds}
    for kind in kinds:
        for name, table, costs in of_folder(folder) if folder else synthetic(exits):
            gaps[kind].append(bounded(name, table, costs, kind, boxes, root_steps))
    print()
    for kind in kinds:
        print(f"{kind}: median gap {statistics.median(gaps[kind]):.2%}, largest {max(gaps[kind]):.2%}")


def growth() -> None:
    """Time, gap and memory from one size on, one of the three grown at a time."""
    header("exits", "thresholds", "samples", "descent", "bound: gap", "time", "peak memory")
    sizes = [(4, 100, 5000), (6, 100, 5000), (8, 100, 5000), (12, 100, 5000)]
    sizes += [(6, 50, 5000), (6, 200, 5000), (6, 400, 5000), (6, 100, 2500), (6, 100, 10_000), (6, 100, 20_000)]
    for exits, steps, samples in sizes:
        posed = pose(*made(exits, samples, 1.0, 0), "point")
        prepared = grids(posed, steps)
        begun = time.process_time()
        found = solve_descent(posed, prepared, (), 0)
        descended = time.process_time()
        proven = solve_branching(posed, prepared, found, 4)
        ended = time.process_time()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        times = f"{descended - begun:.2f} s", gap_text(proven.gap), f"{ended - descended:.1f} s"
        row(exits, steps, f"{samples:,}", *times, f"{peak:.0f} MiB")


NEAR_LIMIT = 3.3, 4.1
"""Prices of a unit of loss, in networks, that random starts on the large table descend at."""
STARTS, PROCESSES = 10_000, 2
LARGE = {"exits": 50, "thresholds": 100, "samples": 100_000, "noise": 1.0, "table_seed": 0}


def large() -> tuple[Problem, Grids]:
    """50 exits, 100 thresholds, 100,000 samples, a limit of one point."""
    table = made_table(LARGE["exits"], LARGE["samples"], 4, LARGE["table_seed"], noise=LARGE["noise"])
    posed = problem(table, made_costs(LARGE["exits"]), (1.0,) * LARGE["exits"], LIMIT)
    return posed, grids(posed, LARGE["thresholds"])


def descent() -> int:
    """Time of the descent on the large table, and its cost against the reference's."""
    posed, prepared = large()
    times: list[float] = []
    for _ in range(3):
        begun = time.process_time()
        found = solve_descent(posed, prepared, (), 0)
        times.append(time.process_time() - begun)
    cost = share(posed, prepared, found)
    print(f"descent: {statistics.median(times):.2f} s of CPU (3 runs, {min(times):.2f} to {max(times):.2f}), ", end="")
    print(f"cost {cost:.5f} networks")
    if not REFERENCE.is_file():
        return 0
    reference = json.loads(REFERENCE.read_text())
    above = cost / reference["cost"] - 1
    made_of = f"best of {reference['starts']:,} starts in {reference['seconds']:.0f} s"
    print(f"{made_of}: {reference['cost']:.5f}; the descent is {above:+.3%} above")
    return int(above > 1e-3 or statistics.median(times) > 1)


def best_of_starts(given: tuple[int, int, float]) -> tuple[int, float, list[int]]:
    """Descents from random points, at most `most` and until the time is over: how many, the least cost, and its
    indices.
    """
    seed, most, seconds = given
    posed, prepared = large()
    coded = code(posed, prepared)
    random = np.random.default_rng(seed)
    network = float(posed.backbone[-1])
    best, at, count = float("inf"), np.full(posed.exits, prepared.never), 0
    end = time.monotonic() + seconds
    while count < most and time.monotonic() < end:
        start = random.integers(0, prepared.never + 1, posed.exits)
        # at a price first, as from a random point the limit alone leads nowhere; at these the loss is near the limit
        start, _ = descend(posed, coded, prepared.never, start, network * random.uniform(*NEAR_LIMIT))
        found, _ = descend(posed, coded, prepared.never, start, CONSTRAINED)
        found = without_idle(prepared.levels, prepared.never, found)
        count += 1
        cost = share(posed, prepared, found)
        if cost < best:
            best, at = cost, found
    return count, best, [int(i) for i in at]


def starts(most: int, seconds: float) -> None:
    """Write the reference."""
    begun = time.monotonic()
    with get_context("spawn").Pool(PROCESSES) as pool:
        found = pool.map(best_of_starts, [(seed, most // PROCESSES, seconds) for seed in range(PROCESSES)])
    count = sum(part[0] for part in found)
    _, cost, indices = min(found, key=lambda part: part[1])
    took = round(time.monotonic() - begun)
    reference = {**LARGE, "limit": LIMIT, "start_seeds": list(range(PROCESSES)), "starts": count, "seconds": took}
    REFERENCE.write_text(json.dumps({**reference, "cost": cost, "indices": indices}) + "\n")
    print(f"{count:,} of {most:,} starts in {took} s: {cost:.5f}")


def main() -> int:
    """Print the table asked for; 1 where `descent` misses its limits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["exact", "gaps", "growth", "descent", "starts"])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["weighted", "point"])
    parser.add_argument("--boxes", type=int, help="boxes that branch and bound looks at")
    parser.add_argument("--root-steps", type=int, help="steps of the first ascent")
    parser.add_argument("--tables", type=Path, help="folder of real tables, in the place of made ones")
    parser.add_argument("--seconds", type=float, default=600.0, help="how long starts are made, at most")
    given = parser.parse_args()
    if given.what == "starts":
        starts(STARTS, given.seconds)
        return 0
    warm_up()
    if given.what == "descent":
        return descent()
    if given.what == "growth":
        growth()
    elif given.what == "exact":
        compare(5, given.kinds, given.boxes or 1000, given.root_steps or ROOT_STEPS, given.tables)
    else:
        compare(10, given.kinds, given.boxes or 3000, given.root_steps or ROOT_STEPS, given.tables)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
