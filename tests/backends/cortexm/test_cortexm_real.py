"""Real networks on emulated cores, bit for bit with the reference, and on the host under sanitizers."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from c_runs import WARNINGS, HostC, compiler, emit, given, sources
from real_floats import known
from real_integers import NETWORKS, Built, build

from eennc.artifact import CSpec
from eennc.devices import device_named
from eennc.ir.cuts import exits_of
from eennc.passes.exits.prune import remove_exits
from eennc.runtime.emulator.boards import board_of
from eennc.runtime.emulator.session import emulate

SAMPLES = 500
CORES = ["microbit", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55"]
RUNS = [
    *(("dscnn_asc40", core) for core in [*CORES, "riscv32"]),
    *(("ecg_cnn_aami5", core) for core in CORES),
    *(("mlperftiny_resnet8_cifar10", core) for core in ("cortex-m4", "cortex-m55")),
]
_BUILT: dict[str, Built] = {}


def built(name: str, shared_data: Path) -> Built:
    """Without the exits that never fire."""
    if name not in _BUILT:
        found = build(name, shared_data)
        taken = np.unique(found.exit)
        last = len(exits_of(found.module.main))
        remove_exits(found.module, {int(k) for k in taken if k < last})
        found.exit = np.searchsorted(taken, found.exit)
        _BUILT[name] = found
    return _BUILT[name]


def classes_of(found: Built) -> int:
    return found.scores.shape[1]


@pytest.mark.real
@pytest.mark.parametrize(("name", "device"), RUNS)
def test_every_bit(name: str, device: str, shared_data: Path, tmp_path: Path) -> None:
    on = device_named(device)
    board = board_of(on)
    for tool in (f"{board.tools}gcc", board.emulator):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    found = built(name, shared_data)
    spec = emit(found.module, tmp_path, device=device)
    run = emulate(tmp_path, spec, classes_of(found), given(found.x[:SAMPLES], spec), on)
    np.testing.assert_array_equal(run.scores, found.scores[:SAMPLES])
    np.testing.assert_array_equal(run.exit, found.exit[:SAMPLES])
    shares = np.bincount(run.exit, minlength=4) / SAMPLES
    assert (shares >= 0.1).all(), shares
    predicted = np.array(spec.predicted)[run.exit].mean()
    assert 0.85 < predicted / run.instructions.mean() < 1.15
    base = emulate(tmp_path, spec, classes_of(found), given(found.x[:2], spec), on, point=None).instructions.mean()
    saved, expected = 1 - run.instructions.mean() / base, 1 - predicted / spec.predicted_base
    assert abs(saved - expected) < 0.05
    if device == "microbit":
        assert spec.arena_bytes + run.stack < 16384


@pytest.mark.real
def test_one_changed_weight_is_seen(shared_data: Path, tmp_path: Path) -> None:
    found = built("dscnn_asc40", shared_data)
    spec = emit(found.module, tmp_path)
    x = given(found.x[:100], spec)
    weights = (tmp_path / "weights.c").read_text()
    assert (HostC(tmp_path, spec, classes_of(found)).run(x)[2] == found.scores[:100]).all()
    first = re.compile(r"(_weights\d+\[\d+\] = \{\n    )(-?\d+)")
    changed = first.sub(lambda m: m[1] + ("127" if m[2].startswith("-") else "-127"), weights, count=1)
    assert changed != weights
    (tmp_path / "weights.c").write_text(changed)
    assert (HostC(tmp_path, spec, classes_of(found)).run(x)[2] != found.scores[:100]).any()


MAIN = """
#include <stdio.h>
#include "model.h"
{P}_ARENA(arena);
int main(int argc, char **argv)
{{
    static {p}_t net;
    static {p}_input_t x[{P}_INPUT_SIZE];
    {p}_result_t r;
    if (argc != 3 || {p}_init(&net, arena, {P}_ARENA_BYTES) != {P}_OK) return 1;
    FILE *from = fopen(argv[1], "rb"), *to = fopen(argv[2], "wb");
    while (fread(x, sizeof x, 1, from) == 1) {{
        if ({p}_run(&net, x, &r) != {P}_OK) return 2;
        fwrite(&r.exit, 2, 1, to);
        fwrite(r.scores, sizeof r.scores, 1, to);
    }}
    return fclose(from) + fclose(to);
}}
"""


def sanitized(folder: Path, spec: CSpec, x: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and exits of a program under AddressSanitizer and UndefinedBehaviorSanitizer."""
    (folder / "main.c").write_text(MAIN.format(p=spec.prefix, P=spec.prefix.upper()))
    x.tofile(folder / "x.bin")
    flags = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    program = str(folder / "program")
    subprocess.run([compiler(), *WARNINGS, *flags, *sources(folder), "-lm", "-o", program], check=True)
    subprocess.run([program, str(folder / "x.bin"), str(folder / "y.bin")], check=True)
    scores = np.dtype(spec.scores_dtype)
    rows = np.fromfile(folder / "y.bin", np.uint8).reshape(len(x), 2 + classes * scores.itemsize)
    return np.ascontiguousarray(rows[:, 2:]).view(scores), np.ascontiguousarray(rows[:, :2]).view(np.int16)[:, 0]


@pytest.mark.real
@pytest.mark.parametrize("name", NETWORKS)
def test_the_host_under_sanitizers(name: str, shared_data: Path, tmp_path: Path) -> None:
    found = built(name, shared_data)
    spec = emit(found.module, tmp_path)
    scores, exit = sanitized(tmp_path, spec, given(found.x, spec), classes_of(found))
    np.testing.assert_array_equal(scores, found.scores)
    np.testing.assert_array_equal(exit, found.exit)


@pytest.mark.real
@pytest.mark.parametrize(
    "name", ["dscnn_asc40", "ecg_cnn_aami5", "mlperftiny_resnet8_cifar10", "resnet20_cifar10jpegft"]
)
def test_floats_under_sanitizers(name: str, shared_data: Path, tmp_path: Path) -> None:
    wanted = known(name, shared_data)
    spec = emit(wanted.module, tmp_path)
    scores, exit = sanitized(tmp_path, spec, wanted.x, wanted.scores.shape[1])
    wanted.agrees(scores, exit)


@pytest.mark.real
@pytest.mark.parametrize("device", ["cortex-m4", "cortex-m55"])
def test_extensions_save_a_third(device: str, shared_data: Path, tmp_path: Path) -> None:
    on = device_named(device)
    if shutil.which("arm-none-eabi-gcc") is None or shutil.which("qemu-system-arm") is None:
        pytest.skip("gcc-arm-none-eabi and qemu-system-arm are not installed")
    found = built("dscnn_asc40", shared_data)
    spec = emit(found.module, tmp_path, device=device)
    x = given(found.x[:2], spec)
    fast, plain = (
        emulate(tmp_path, spec, classes_of(found), x, on, point=None, defines=defines).instructions.sum()
        for defines in ((), ("-DEENNC_PLAIN",))
    )
    assert plain >= 1.5 * fast
