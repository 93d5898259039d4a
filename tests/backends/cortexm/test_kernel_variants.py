"""The DSP and Helium variants of the kernels on emulated cores: every case and many random windows, bit for bit."""

import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from c_runs import WARNINGS, Cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_kernels import CASES, compare, expected, feeds, windowed

import eennc.backends.cortexm.kernels as kernels
from eennc.backends.cortexm.form import objection
from eennc.ir.graph import Module
from eennc.passes.memory import ARENA
from eennc.runtime.emulator.boards import BY_CORE
from eennc.runtime.emulator.build import PACKAGE, _script

pytestmark = pytest.mark.skipif(
    not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
    reason="gcc-arm-none-eabi and qemu-system-arm are not installed",
)

MAIN = """
#include "semihosting.h"
{prototypes}
static uint8_t input[{inputs}], output[{outputs}], arena[{arena}] __attribute__((aligned(16)));
typedef void case_t(const void *const *, uint8_t *, uint8_t *);
static const struct {{ case_t *run; uint32_t first, second, size; }} cases[] = {{ {table} }};
int main(void)
{{
    const int from = semihosting_open("input.bin", 0), to = semihosting_open("output.bin", 1);
    for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++) {{
        const void *inputs[2] = {{input, input + cases[i].first}};
        memset(arena, (int)(0x5a + i), sizeof arena);
        if (!semihosting_read(from, input, cases[i].first + cases[i].second)) return 5;
        cases[i].run(inputs, arena, output);
        if (!semihosting_write(to, output, cases[i].size)) return 6;
    }}
    return 0;
}}
"""


def rounded(size: int) -> int:
    return (size + 15) // 16 * 16


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m55"])
@settings(max_examples=4, suppress_health_check=list(HealthCheck))
@given(random=st.lists(windowed(), min_size=60, max_size=60))
def test_variants(core: str, random: list[Module | None], tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("variants")
    modules = [module for _, module, _ in CASES if len(module.main.arguments) <= 2]
    modules += [module for module in random if module is not None and objection(module.main.ops[0]) is None]
    lowered = Cases(folder, modules, core).modules
    inputs_of = [feeds(module, 0.5, 2.0, number) for number, module in enumerate(modules)]
    main(folder, lowered, inputs_of)
    run(core, folder)
    raw = (folder / "output.bin").read_bytes()
    for module, low, inputs in zip(modules, lowered, inputs_of, strict=True):
        type = low.main.returns[0].type
        found = np.frombuffer(raw[: type.bytes()], type.dtype.numpy).reshape(type.concrete(1))
        raw = raw[type.bytes() :]
        try:
            compare(found, expected(module, inputs))
        except AssertionError as error:
            raise AssertionError(f"{module.main.ops[0].name} {module.main.ops[0].attrs}: {error}") from None
    assert not raw


def main(folder: Path, lowered: list[Module], given: list[list[np.ndarray]]) -> None:
    """The firmware's main, and what it reads."""
    content = b""
    table = []
    for number, (module, inputs) in enumerate(zip(lowered, given, strict=True)):
        parts = [x.tobytes().ljust(rounded(x.nbytes), b"\0") for x in inputs]
        content += b"".join(parts)
        lengths = [len(part) for part in parts] + [0] * (2 - len(parts))
        table.append(f"{{case{number}, {lengths[0]}, {lengths[1]}, {module.main.returns[0].type.bytes()}}}")
    (folder / "input.bin").write_bytes(content)
    text = MAIN.format(
        prototypes="\n".join(
            f"void case{n}(const void *const *inputs, uint8_t *arena, uint8_t *y);" for n in range(len(lowered))
        ),
        inputs=2 * max(rounded(x.nbytes) for inputs in given for x in inputs),
        outputs=max(module.main.returns[0].type.bytes() for module in lowered),
        arena=max(int(module.attributes[ARENA]) for module in lowered) + 16,
        table=", ".join(table),
    )
    (folder / "main.c").write_text(text)


def run(core: str, folder: Path) -> None:
    board = BY_CORE[core]
    firmware = Path(str(files(PACKAGE) / "firmware"))
    (folder / "link.ld").write_text(_script((firmware / "link.ld").read_text(), board))
    home = Path(kernels.__file__).parent
    command = ["arm-none-eabi-gcc", *WARNINGS, "-std=gnu99", *board.flags, *board.libraries, "-O2", "-nostartfiles"]
    command += ["-ffunction-sections", "-Wl,--gc-sections", "-I", str(home), "-I", str(firmware)]
    command += ["-T", str(folder / "link.ld"), str(firmware / board.startup), str(folder / "main.c")]
    command += [str(folder / "cases.c"), *sorted(map(str, home.glob("*.c"))), "-lm", "-o", str(folder / "cases.elf")]
    subprocess.run(command, check=True)
    emulator = [board.emulator, "-M", board.machine, "-nographic", "-monitor", "none", "-serial", "none"]
    emulator += ["-semihosting-config", "enable=on,target=native", "-kernel", "cases.elf"]
    done = subprocess.run(emulator, cwd=folder, timeout=120, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-300:]
