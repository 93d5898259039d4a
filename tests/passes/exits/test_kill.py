"""A run that is killed at any moment, and the next one that goes on from there."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SCRIPT = Path(__file__).with_name("small_network.py")
SAMPLES, EPOCHS = 6_000, 20
MOMENTS: tuple[float | str, ...] = (0.1, "cache", "cache/features", "cache/heads", 0.9)
"""When a run is killed: at a share of the time that a whole one takes, or when something has appeared."""


def start(folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    arguments = [folder / "cache", folder / "module.eir", str(SAMPLES), str(EPOCHS)]
    return subprocess.Popen([sys.executable, SCRIPT, *arguments], stderr=subprocess.PIPE)


def finished(folder: Path) -> dict[str, bytes]:
    """Run to the end; the bytes of module, weights, features and heads (zip archives by their content)."""
    run = start(folder)
    _, errors = run.communicate()
    assert run.returncode == 0, errors.decode()
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_killed_at_five_moments(tmp_path: Path) -> None:
    begun = time.perf_counter()
    undisturbed = finished(tmp_path / "undisturbed")
    whole = time.perf_counter() - begun
    assert any(name.startswith("cache/features/") for name in undisturbed)
    assert any(name.startswith("cache/heads/") for name in undisturbed)
    halves = 0
    for number, moment in enumerate(MOMENTS):
        folder = tmp_path / f"killed{number}"
        run = start(folder)
        if isinstance(moment, float):
            time.sleep(whole * moment)
        else:
            while run.poll() is None and not (folder / moment).exists():
                time.sleep(0.001)
        if run.poll() is None:
            os.kill(run.pid, signal.SIGKILL)
        run.communicate()
        halves += (folder / "cache").exists() and not (folder / "module.eir").exists()
        again = finished(folder)
        left = {name: content for name, content in again.items() if "/." not in name}
        assert left == undisturbed
    assert halves >= 2
