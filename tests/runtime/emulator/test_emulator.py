"""C artefacts on emulated cores: bit for bit, repeatable counts, what is measured and what is refused."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from c_runs import emit, given
from quantised_eenns import quantised
from random_eenns import CLASSES, eenn, samples

from eennc.artifact import CSpec
from eennc.cli import main
from eennc.data.splits import Split
from eennc.devices import device_named
from eennc.driver import compile
from eennc.ir.cuts import exits_of
from eennc.ir.interpreter import run_module, run_stream
from eennc.ir.rules import STREAM
from eennc.runtime.emulator.boards import BY_CORE
from eennc.runtime.emulator.build import build_firmware
from eennc.runtime.emulator.cycles import MODELS, costs_of
from eennc.runtime.emulator.report import measure_on_core
from eennc.runtime.emulator.session import emulate
from eennc.support.diagnostics import UserError
from eennc.support.instruments import Silent

TOOLS = {core: (f"{board.tools}gcc", board.emulator) for core, board in BY_CORE.items()}


def need(core: str) -> None:
    for name in TOOLS[core]:
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")


@pytest.fixture(scope="module")
def network():
    return quantised(eenn(3, 3, rule="margin"), 2)


@pytest.mark.parametrize("core", BY_CORE)
def test_every_core_gives_every_bit_and_the_same_counts(core: str, network, tmp_path: Path) -> None:
    need(core)
    x = samples(25, seed=1)
    wanted = run_module(network, [x])
    spec = emit(network, tmp_path, device=core)
    first, second = (emulate(tmp_path, spec, CLASSES, given(x, spec), device_named(core)) for _ in range(2))
    np.testing.assert_array_equal(first.scores, wanted.scores)
    np.testing.assert_array_equal(first.exit, wanted.exit)
    np.testing.assert_array_equal(first.classes, wanted.scores.argmax(axis=1))
    np.testing.assert_array_equal(first.instructions, second.instructions)
    assert (first.cycles is None) == (core not in MODELS)
    if first.cycles is not None:
        np.testing.assert_array_equal(first.cycles, second.cycles)
        assert (first.cycles > first.instructions).all()
    # who leaves later executes more
    means = [first.instructions[first.exit == k].mean() for k in range(4)]
    assert means == sorted(means)
    assert 100 < first.stack < 1500
    assert first.flash.constants > sum(w.array.nbytes for w in network.weights() if w.type.dtype.value == "i8")
    assert 2000 < first.flash.code < 20000


@pytest.mark.parametrize("rule", ["max_probability", "patience"])
@pytest.mark.parametrize("core", ["cortex-m0", "cortex-m4"])
def test_rules_give_every_exit(core: str, rule: str, tmp_path: Path) -> None:
    need(core)
    module, x = quantised(eenn(3, 3), 2, rule="max_probability"), samples(25, seed=1)
    if rule == "patience":
        for exit in exits_of(module.main):
            exit.attrs.update(rule=rule, threshold=2.0)
    wanted = run_module(module, [x])
    spec = emit(module, tmp_path, device=core)
    found = emulate(tmp_path, spec, CLASSES, given(x, spec), device_named(core))
    np.testing.assert_array_equal(found.exit, wanted.exit)
    assert len(set(wanted.exit)) > 1


def test_floats_on_a_core(tmp_path: Path) -> None:
    need("cortex-m4")
    module, x = eenn(5, 2), samples(15, seed=2)
    wanted = run_module(module, [x])
    spec = emit(module, tmp_path)
    found = emulate(tmp_path, spec, CLASSES, x, device_named("cortex-m4"))
    np.testing.assert_array_equal(found.exit, wanted.exit)
    np.testing.assert_allclose(found.scores, wanted.scores, rtol=0, atol=1e-4 * np.abs(wanted.scores).max())


def test_a_stream_on_a_core(tmp_path: Path) -> None:
    need("cortex-m4")
    module = quantised(eenn(34, 3, rule="margin", share=0.6), 2)
    for exit in exits_of(module.main):
        exit.attrs["rule"] = STREAM
    x = np.repeat(samples(21, seed=5), 6, axis=0)[:30]
    groups = np.arange(30) // 13
    y = run_module(module, [x]).scores.argmax(axis=1).astype(np.int64)
    wanted = run_stream(module, [x], starts=np.isin(np.arange(30), (0, 13, 26)))
    assert len(set(wanted.exit)) > 1
    compiled = compile(module, passes=(), backend="cortexm", output=tmp_path / "c")
    assert compiled.manifest is not None
    assert compiled.manifest.c is not None
    split = Split("test", x, y, groups=groups)
    found = measure_on_core(tmp_path / "c", compiled.manifest, compiled.manifest.c, split, progress=Silent())
    assert [row.samples for row in found.exits] == np.bincount(wanted.exit, minlength=4).tolist()
    assert found.accuracy == pytest.approx((wanted.scores.argmax(axis=1) == y).mean())


def test_the_base_network_takes_no_exit_and_no_head(network, tmp_path: Path) -> None:
    need("cortex-m4")
    x = samples(10, seed=3)
    spec = emit(network, tmp_path)
    on = device_named("cortex-m4")
    base = emulate(tmp_path, spec, CLASSES, given(x, spec), on, point=None)
    eenn_ = emulate(tmp_path, spec, CLASSES, given(x, spec), on)
    assert set(base.exit) == {3}
    assert base.instructions.max() < eenn_.instructions[eenn_.exit == 3].min()


@pytest.mark.parametrize(("core", "instruction"), [("cortex-m4", "smlad"), ("cortex-m55", "vmladava|vmlava")])
def test_extensions_are_used_and_pay(core: str, instruction: str, network, tmp_path: Path) -> None:
    need(core)
    spec = emit(network, tmp_path / "c", device=core)
    board = BY_CORE[core]
    work = tmp_path / "work"
    work.mkdir()
    image = build_firmware(tmp_path / "c", spec.prefix, board, work, point=0).image
    # binutils 2.40 does not see from the file that it may hold Helium
    helium = ["-m", "armv8.1-m.main"] if core == "cortex-m55" else []
    dump = [f"{board.tools}objdump", "-d", *helium, str(image)]
    text = subprocess.run(dump, capture_output=True, text=True, check=True).stdout
    rows = text[text.index(f"<{spec.prefix}_two_rows_s8>:") :].partition("\n\n")[0]
    assert re.search(instruction, rows)
    x = given(samples(6, seed=4), spec)
    on = device_named(core)
    fast = emulate(tmp_path / "c", spec, CLASSES, x, on)
    plain = emulate(tmp_path / "c", spec, CLASSES, x, on, defines=["-DEENNC_PLAIN"])
    np.testing.assert_array_equal(fast.scores, plain.scores)
    assert plain.instructions.sum() > 1.2 * fast.instructions.sum()


def test_cycles_by_hand() -> None:
    lines = """
       0:	b510      	push	{r4, lr}
       2:	6804      	ldr	r4, [r0, #0]
       4:	6843      	ldr	r3, [r0, #4]
       6:	fb24 3303 	smlad	r3, r4, r3, r3
       a:	6003      	str	r3, [r0, #0]
       c:	e9d0 1200 	ldrd	r1, r2, [r0]
      10:	fb91 f1f2 	sdiv	r1, r1, r2
      14:	ecbd 8b04 	vpop	{d8-d9}
      18:	f000 f800 	bl	1c <next>
      1c:	bd10      	pop	{r4, pc}
    """.splitlines()
    assert costs_of(lines, MODELS["cortex-m4"]) == {0: 3, 2: 2, 0xC: 3, 0x10: 7, 0x14: 3, 0x1C: 3}
    found = costs_of(lines[2:], MODELS["cortex-m0"])
    assert found == {2: 2, 4: 2, 0xA: 2, 0xC: 3, 0x14: 3, 0x18: 2, 0x1C: 4}
    products = ["0:\tfb01 2003 \tmla\tr0, r1, r3, r2", "4:\tfb81 0103 \tsmull\tr0, r1, r1, r3"]
    assert costs_of(products, MODELS["cortex-m3"]) == {0: 2, 4: 4}


def test_a_counted_region_has_its_hand_counted_cost(tmp_path: Path) -> None:
    """A model whose run is a known loop: instructions and cycles are what the tables say."""
    need("cortex-m4")
    (tmp_path / "model.h").write_text(
        "#include <stdint.h>\n#include <stddef.h>\n"
        "typedef int8_t m_input_t;\ntypedef struct { int x; } m_t;\n"
        "typedef struct { int16_t class_id, exit; int8_t scores[2]; } m_result_t;\n"
        "enum { M_OK, M_INPUT_SIZE = 4, M_EXITS = 0, M_NEVER = 1 };\n"
        "#define M_ARENA(name) static uint32_t name[4]\n"
        "int m_init(m_t *, void *, size_t);\nint m_run(m_t *, const m_input_t *, m_result_t *);\n"
        "int m_set_point(m_t *, int);\nint m_set_threshold(m_t *, int, int);\n"
    )
    (tmp_path / "model.c").write_text(
        '#include "model.h"\n#include <string.h>\n'
        "int m_init(m_t *n, void *a, size_t s) { (void)n, (void)a, (void)s; return 0; }\n"
        "int m_set_point(m_t *n, int p) { (void)n, (void)p; return 0; }\n"
        "int m_run(m_t *n, const m_input_t *x, m_result_t *r) {\n"
        "  volatile uint8_t big[1000]; (void)n; big[0] = 1; big[999] = 2;\n"
        "  r->class_id = x[0]; r->exit = 0; memset(r->scores, x[1], 2);\n"
        '  __asm__ volatile("movs r0, #100\\n1: ldr r1, [sp]\\n mul r1, r1, r1\\n subs r0, #1\\n bne 1b"'
        ' ::: "r0", "r1", "cc", "memory");\n'
        "  return 0; }\n"
    )
    spec = CSpec("m", "cortex-m4", 16, 16, "int8", None, 0, "int8", ("normal",))
    x = np.array([[3, 7, 0, 0], [1, -2, 0, 0]], np.int8)
    found = emulate(tmp_path, spec, 2, x, device_named("cortex-m4"))
    np.testing.assert_array_equal(found.classes, [3, 1])
    np.testing.assert_array_equal(found.scores, [[7, 7], [-2, -2]])
    assert 1000 < found.stack < 1200
    # 100 rounds of 4 instructions; 99 branches are taken; a load of 2, and of the rest some
    around = found.instructions - 401
    assert (around > 0).all()
    assert (around < 60).all()
    loop = 1 + 100 * (2 + 1 + 1 + 1) + 99 * 2
    assert (found.cycles - loop > 0).all()
    assert (found.cycles - loop < 120).all()


def test_what_does_not_fit_the_board_is_told(network, tmp_path: Path) -> None:
    need("cortex-m0")
    spec = emit(network, tmp_path, device="cortex-m0")
    header = (tmp_path / "model.h").read_text()
    prefix = spec.prefix.upper()
    (tmp_path / "model.h").write_text(
        header.replace(f"#define {prefix}_ARENA_BYTES {spec.arena_bytes}", f"#define {prefix}_ARENA_BYTES 20000")
    )
    with pytest.raises(UserError, match=r"needs [\d,]+ bytes more memory than the board has"):
        emulate(tmp_path, spec, CLASSES, given(samples(1), spec), device_named("microbit"))


def test_a_missing_tool_names_its_packages(network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = emit(network, tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"):
        emulate(tmp_path, spec, CLASSES, given(samples(1), spec), device_named("cortex-m4"))
    with pytest.raises(UserError, match="gcc-riscv64-unknown-elf"):
        emulate(tmp_path, spec, CLASSES, given(samples(1), spec), device_named("riscv32"))


def test_the_command(network, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need("cortex-m4")
    x = samples(30, seed=5)
    y = run_module(network, [x]).scores.argmax(axis=1)
    np.savez(tmp_path / "test.npz", x=x, y=y)
    compile(network, passes=(), backend="cortexm", output=tmp_path / "build")
    run = ["run", str(tmp_path / "build"), "--data", str(tmp_path / "test.npz")]
    assert main([*run, "--on", "qemu", "-q"]) == 0
    printed = capsys.readouterr().out
    assert "cortex-m4 under QEMU" in printed
    assert "EENN    100.0 %" in printed
    counted = tmp_path / "counts.json"
    assert main([*run, "--on", "qemu", "-q", "--counts", str(counted)]) == 0
    wanted = np.bincount(run_module(network, [x]).exit, minlength=len(exits_of(network.main)) + 1)
    assert json.loads(counted.read_text())["counts"] == {"normal": wanted.tolist()}
    capsys.readouterr()
    assert main([*run, "--on", "qemu", "-q", "--device", "cortex-m7"]) == 0
    assert "no cycles: instructions of the cortex-m7 overlap" in capsys.readouterr().out
    for wrong, message in (
        ([*run], "eennc run FOLDER --on qemu"),
        ([*run, "--device", "cortex-m4"], "--device is for --on qemu"),
        ([*run, "--on", "qemu", "--point", "saver"], "saver"),
        ([*run, "--on", "qemu", "--device", "host"], "no emulated board for host"),
    ):
        assert main(wrong) == 1
        assert message in capsys.readouterr().err
