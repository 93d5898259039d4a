import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import eennc

SOLVE = """
import sys
sys.path.insert(0, sys.argv[1])
from score_tables import made_costs, made_table
from eennc.policy.goal import Goal
from eennc.policy.solve import solve
print(solve(made_table(2, 30), made_costs(2), Goal(0.1)).solver)
"""


@pytest.mark.parametrize("writable", [True, False])
def test_machine_code_is_cached_where_that_is_possible(tmp_path: Path, writable: bool) -> None:
    cache = tmp_path / "cache"
    if not writable:
        cache.write_text("a file, where a folder should be")
    done = subprocess.run(
        [sys.executable, "-c", SOLVE, str(Path(__file__).parent)],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "shared\n", done.stderr
    assert list(tmp_path.rglob("*.nbc")) if writable else cache.is_file()


def test_machine_code_is_not_older_than_the_functions_built_into_it(tmp_path: Path) -> None:
    """A function of another file is edited between two runs with one cache."""
    package = tmp_path / "eennc"
    shutil.copytree(Path(eennc.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    helper = package / "policy/solvers/problem.py"
    found = []
    for edit in ("    return worst", "    return worst + 100"):
        helper.write_text(helper.read_text().replace("    return worst\n", f"{edit}\n"))
        done = subprocess.run(
            [sys.executable, "-c", SOLVE.replace(".solver", ".thresholds"), str(Path(__file__).parent)],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        found.append(done.stdout)
    assert "inf" not in found[0]
    assert "inf" in found[1]


def test_tables_and_reports_do_not_wait_for_numba() -> None:
    code = "import eennc.policy.table, eennc.policy.summary, sys; print('numba' in sys.modules, 'scipy' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False False\n"
