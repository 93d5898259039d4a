"""The C folder on the host: against the interpreter, its interface, its names, what it refuses."""

import ctypes
import filecmp
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bare_exits import bare
from c_runs import WARNINGS, HostC, compiler, emit, given, lowered, sources
from quantised_eenns import quantised
from random_eenns import CLASSES, eenn, samples

from eennc.backends.cortexm import CortexmBackend
from eennc.data.splits import Split, Splits
from eennc.driver import compile
from eennc.ir.cuts import exits_of
from eennc.ir.graph import Graph, Module
from eennc.ir.interpreter import run_module
from eennc.ir.op import Origin
from eennc.ir.ops.opaque import Opaque
from eennc.ir.rules import CLASS_THRESHOLDS, FORMS, STREAM
from eennc.ir.types import TensorType
from eennc.ir.values import Argument
from eennc.passes.base import Context
from eennc.passes.fold_input import FoldInput
from eennc.passes.quantise.calibrate import Calibrate
from eennc.passes.quantise.quantize_int8 import QuantizeInt8
from eennc.support.diagnostics import UserError

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")

INTEGER_RULES = ["max_probability", "margin"]
HOSTILE = ['x*/ system("rm") /*', 'a";', "new\nline", "größe", "while", "??/", "\\", "%s{{ 7 * 7 }}", "n" * 4000, ""]


def integers(seed: int = 0, exits: int = 2, dims: int = 2, rule: str = "margin", **options: object) -> Module:
    return quantised(eenn(seed, exits, dims=dims, **options), dims, rule)


@pytest.fixture(scope="module")
def network() -> Module:
    return integers(3, 3)


@pytest.fixture
def host(network: Module, tmp_path: Path) -> HostC:
    return HostC(tmp_path, emit(network, tmp_path), CLASSES)


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("exits", [0, 1, 4])
@pytest.mark.parametrize("device", ["cortex-m0", "cortex-m4", "cortex-m55"])
@pytest.mark.parametrize("rule", INTEGER_RULES)
def test_integers_are_those_of_the_reference(dims: int, exits: int, device: str, rule: str, tmp_path: Path) -> None:
    module = integers(exits, exits, dims, rule)
    x = samples(60, dims, seed=1)
    wanted = run_module(module, [x])
    spec = emit(module, tmp_path, device=device)
    classes, exit, scores = HostC(tmp_path, spec, CLASSES).run(given(x, spec))
    np.testing.assert_array_equal(scores, wanted.scores)
    np.testing.assert_array_equal(exit, wanted.exit)
    np.testing.assert_array_equal(classes, wanted.scores.argmax(axis=1))
    assert len(set(exit)) == exits + 1


@pytest.mark.parametrize("rule", ["max_probability", "margin", "entropy"])
@pytest.mark.parametrize(("kind", "evident"), [("logits", False), ("probabilities", False), ("probabilities", True)])
def test_floats_keep_the_contract(kind: str, rule: str, evident: bool, tmp_path: Path) -> None:
    module = eenn(5, 3, kind=kind, rule=rule, evident=evident)
    x = samples(60, seed=2)
    wanted = run_module(module, [x])
    spec = emit(module, tmp_path)
    _, exit, scores = HostC(tmp_path, spec, CLASSES).run(x)
    np.testing.assert_array_equal(exit, wanted.exit)
    np.testing.assert_allclose(scores, wanted.scores, rtol=0, atol=1e-4 * np.abs(wanted.scores).max())
    assert len(set(exit)) == 4


def test_floats_around_integers(network: Module, tmp_path: Path) -> None:
    x = samples(40, seed=3)
    wanted = run_module(network, [x])
    spec = emit(network, tmp_path, io="float")
    assert (spec.input_dtype, spec.scores_dtype) == ("float32", "float32")
    _, exit, scores = HostC(tmp_path, spec, CLASSES).run(x)
    quant = network.main.returns[0].type.quant
    np.testing.assert_array_equal(exit, wanted.exit)
    real = (wanted.scores.astype(np.float32) - quant.zero_point) * np.float32(quant.scale)
    np.testing.assert_array_equal(scores, real)


@pytest.mark.parametrize("name", ["gcc", "clang"])
@pytest.mark.parametrize("rules", [True, False])
@pytest.mark.parametrize("integer", [True, False])
def test_no_warnings_and_no_state(name: str, integer: bool, rules: bool, network: Module, tmp_path: Path) -> None:
    cc = compiler(name)
    plain = network if integer else eenn(0, 2)
    spec = emit(all_rules(0.1 if integer else None) if rules else plain, tmp_path)
    for source in sources(tmp_path):
        for extra in (["-O0"], ["-O3"], ["-O2", "-DEENNC_PLAIN"]):
            command = [cc, *WARNINGS, "-Wshadow", "-Wstrict-prototypes", "-Wvla", *extra, "-fno-pic", "-c", source]
            subprocess.run([*command, "-o", str(tmp_path / "one.o")], check=True)
        listed = subprocess.run(["nm", str(tmp_path / "one.o")], capture_output=True, text=True, check=True).stdout
        for line in listed.splitlines():
            kind, symbol = line.split()[-2:]
            assert kind not in "BbDdCc", f"{symbol} is mutable"
            if kind in "TRV":
                assert symbol.startswith(f"{spec.prefix}_")
            elif kind == "U" and not symbol.startswith(f"{spec.prefix}_"):
                allowed = {"memcpy", "memset", "memmove", "__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_"}
                assert symbol in allowed | (set() if integer else {"expf", "logf"})
        included = {line.split()[1] for line in Path(source).read_text().splitlines() if line.startswith("#include <")}
        assert included <= {"<stdint.h>", "<stddef.h>", "<string.h>", "<arm_mve.h>", *([] if integer else ["<math.h>"])}


def test_the_same_network_gives_the_same_bytes(network: Module, tmp_path: Path) -> None:
    emit(network, tmp_path / "a")
    emit(network, tmp_path / "b")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "b").iterdir())
    assert filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", names, shallow=False)[1:] == ([], [])


def test_only_the_kernels_that_are_called(tmp_path: Path) -> None:
    emit(integers(0, 1), tmp_path)
    there = {path.name for path in tmp_path.glob("eennc_*.c")}
    called = {f"{name}.c" for name in ("eennc_conv_s8", "eennc_rows_s8", "eennc_dense_s8", "eennc_exit_s8")}
    assert called <= there
    assert not {"eennc_softmax_s8.c", "eennc_table_s8.c", "eennc_conv_f32.c", "eennc_exit_f32.c"} & there


def test_steps_are_the_run(host: HostC, network: Module) -> None:
    x = given(samples(30, seed=4), host.spec)
    classes, exits, scores = host.run(x)
    for row, sample in enumerate(x):
        sample = np.ascontiguousarray(sample)
        assert host.call("start", host.net, ctypes.c_void_p(sample.ctypes.data)) == 0
        assert host.call("result", host.net, host.result) == -6
        steps = 1
        while (status := host.call("step", host.net)) == 1:
            steps += 1
        assert status == 0
        assert steps == exits[row] + 1
        assert host.call("step", host.net) == -4
        assert host.call("result", host.net, host.result) == 0
        class_id, exit, found = host.answer()
        assert (class_id, exit) == (classes[row], exits[row])
        np.testing.assert_array_equal(found, scores[row])


def test_a_deadline_gives_the_best_so_far(host: HostC, network: Module) -> None:
    x = given(samples(30, seed=4), host.spec)
    _, exits, _ = host.run(x)
    late = np.ascontiguousarray(x[np.flatnonzero(exits == len(exits_of(network.main)))[0]])
    pointer = ctypes.c_void_p(late.ctypes.data)
    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
    for allowed in range(5):
        left = [allowed]

        def stop(_: object, left: list[int] = left) -> int:
            left[0] -= 1
            return left[0] < 0

        status = host.call("run_until", host.net, pointer, callback(stop), None, host.result)
        if allowed == 0:
            assert status == -6
        elif allowed <= 3:
            assert status == 2
            assert host.answer()[1] == allowed - 1
        else:
            assert status == 0
            assert host.answer()[1] == 3


def test_thresholds_at_run_time(host: HostC, network: Module) -> None:
    x = samples(40, seed=6)
    for exit in range(3):
        assert host.call("set_threshold", host.net, exit, ctypes.c_int32(256)) == 0
    assert set(host.run(given(x, host.spec))[1]) == {3}
    changed = network.copy()
    for exit, op in enumerate(exits_of(changed.main)):
        op.attrs["threshold"] = op.threshold * 2
        assert host.call("set_threshold", host.net, exit, ctypes.c_int32(op.levels())) == 0
    np.testing.assert_array_equal(host.run(given(x, host.spec))[1], run_module(changed, [x]).exit)
    assert host.call("set_point", host.net, 0) == 0
    np.testing.assert_array_equal(host.run(given(x, host.spec))[1], run_module(network, [x]).exit)


def test_operating_points(network: Module, tmp_path: Path) -> None:
    module = network.copy()
    module.attributes["points"] = ("saver", "very accurate")
    for exit in exits_of(module.main):
        exit.attrs["points"] = (exit.threshold / 2, float("inf") if exit.exit == 1 else exit.threshold * 2)
    spec = emit(module, tmp_path)
    assert spec.points == ("normal", "saver", "very accurate")
    assert "_POINT_VERY_ACCURATE 2" in (tmp_path / "model.h").read_text()
    host = HostC(tmp_path, spec, CLASSES)
    x = samples(60, seed=7)
    for point in range(3):
        other = module.copy()
        for exit in exits_of(other.main):
            exit.attrs["threshold"] = (exit.threshold, *exit.points)[point]
        assert host.call("set_point", host.net, point) == 0
        np.testing.assert_array_equal(host.run(given(x, spec))[1], run_module(other, [x]).exit)


@pytest.mark.parametrize("integer", [True, False])
def test_answers_are_counted(integer: bool, tmp_path: Path) -> None:
    module = integers(3, 2) if integer else eenn(3, 2)
    module.attributes["points"] = ("saver",)
    for exit in exits_of(module.main):
        exit.attrs["points"] = (exit.threshold / 2,)
    spec = emit(module, tmp_path / "on", counts=True)
    host = HostC(tmp_path / "on", spec, CLASSES)
    found = (ctypes.c_uint32 * 3)()

    def counts(point: int) -> list[int]:
        assert host.call("counts", host.net, point, found) == 0
        return list(found)

    assert counts(0) == counts(1) == [0, 0, 0]
    x = given(samples(40, seed=7), spec)
    first = np.bincount(host.run(x)[1], minlength=3)
    assert host.call("set_point", host.net, 1) == 0
    second = np.bincount(host.run(x[:30])[1], minlength=3)
    assert (first > 0).all()
    np.testing.assert_array_equal(counts(0), first)
    np.testing.assert_array_equal(counts(1), second)
    # steps count once, a stopped run and thresholds of the caller's own do not
    pointer = ctypes.c_void_p(np.ascontiguousarray(x[0]).ctypes.data)
    stop = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(lambda _: 1)
    assert host.call("run_until", host.net, pointer, stop, None, host.result) == -6
    threshold = ctypes.c_int32(1) if integer else ctypes.c_float(0.5)
    assert host.call("set_threshold", host.net, 0, threshold) == 0
    host.run(x)
    np.testing.assert_array_equal(counts(1), second)
    assert host.call("set_point", host.net, 0) == 0
    host.call("start", host.net, pointer)
    while (status := host.call("step", host.net)) == 1:
        assert sum(counts(0)) == 40
    assert (status, sum(counts(0))) == (0, 41)
    for arguments, status in (
        ((None, 0, found), -1),
        ((host.net, 0, None), -1),
        ((host.net, 2, found), -5),
        ((host.net, -1, found), -5),
        (((ctypes.c_uint64 * 1024)(), 0, found), -4),
    ):
        assert host.call("counts", *arguments) == status
    assert host.call("reset_counts", None) == -1
    assert host.call("reset_counts", (ctypes.c_uint64 * 1024)()) == -4
    assert host.call("reset_counts", host.net) == 0
    assert counts(0) == counts(1) == [0, 0, 0]
    # nothing of it is in the code that was not asked for it
    emit(module, tmp_path / "off")
    for name in ("model.h", "model.c"):
        assert "counts" in (tmp_path / "on" / name).read_text()
        assert "count" not in (tmp_path / "off" / name).read_text()


def test_a_count_stays_at_its_largest(tmp_path: Path) -> None:
    spec = emit(integers(3, 0), tmp_path, counts=True)
    (tmp_path / "main.c").write_text(
        '#include "model.h"\nRANDOM_ARENA(arena);\nint main(void) {\nrandom_t net;\nrandom_counts_t n;\n'
        "random_result_t r;\nstatic random_input_t x[RANDOM_INPUT_SIZE];\nrandom_init(&net, arena, sizeof arena);\n"
        "net.counts[0].answers[0] = UINT32_MAX - 1;\nfor (int i = 0; i < 3; i++) { random_run(&net, x, &r); }\n"
        "random_counts(&net, 0, &n);\nreturn n.answers[0] != UINT32_MAX; }\n"
    )
    program = str(tmp_path / "program")
    subprocess.run([compiler(), *WARNINGS, *sources(tmp_path), "-o", program], check=True)
    assert spec.prefix == "random"
    subprocess.run([program], check=True)


def test_misuse_is_told(host: HostC) -> None:
    sample = np.zeros(144, np.int8)
    x, size = ctypes.c_void_p(sample.ctypes.data), ctypes.c_size_t(host.spec.arena_bytes)
    fresh = (ctypes.c_uint64 * 1024)()
    odd = ctypes.c_void_p(ctypes.addressof(host.arena) + 1)
    assert host.call("init", None, host.arena, size) == -1
    assert host.call("init", fresh, None, size) == -1
    assert host.call("init", fresh, host.arena, ctypes.c_size_t(host.spec.arena_bytes - 1)) == -2
    assert host.call("init", fresh, odd, size) == -3
    for name in ("run", "start"):
        assert host.call(name, fresh, x, host.result) == -4
        assert host.call(name, None, x, host.result) == -1
        assert host.call(name, host.net, None, host.result) == -1
    assert host.call("run", host.net, x, None) == -1
    assert host.call("step", fresh) == -4
    assert host.call("step", None) == -1
    assert host.call("result", fresh, host.result) == -4
    for exit, threshold in ((-1, 3), (3, 3), (0, -1), (0, 257)):
        assert host.call("set_threshold", host.net, exit, ctypes.c_int32(threshold)) == -5
    assert host.call("set_point", host.net, 1) == -5
    assert host.call("set_point", host.net, -1) == -5
    assert host.call("set_point", fresh, 0) == -4


def test_two_networks_in_one_program(tmp_path: Path) -> None:
    first, second = integers(1, 1), integers(2, 2)
    specs = [emit(first, tmp_path / "a", prefix="first"), emit(second, tmp_path / "b", prefix="second")]
    made = tmp_path / "both.so"
    files = [*sources(tmp_path / "a"), *sources(tmp_path / "b")]
    subprocess.run([compiler(), *WARNINGS, "-shared", "-fPIC", *files, "-o", str(made)], check=True)
    x = samples(20)
    for spec, module in zip(specs, (first, second), strict=True):
        host = object.__new__(HostC)
        host.spec, host.classes, host.scores = spec, CLASSES, np.dtype(np.int8)
        host.library = ctypes.CDLL(str(made))
        host.arena = (ctypes.c_uint32 * (spec.arena_bytes // 4 + 2))()
        host.net, host.result = (ctypes.c_uint64 * 1024)(), (ctypes.c_uint8 * 8192)()
        assert host.call("init", host.net, host.arena, ctypes.c_size_t(spec.arena_bytes)) == 0
        np.testing.assert_array_equal(host.run(given(x, spec))[2], run_module(module, [x]).scores)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_give_the_same_code(name: str, tmp_path: Path) -> None:
    harmless = integers(0, 1)
    hostile = harmless.copy()
    hostile.name = name
    hostile.main.arguments[0].name = name
    for op in hostile.main.ops:
        op.origin = Origin(name, name, ())
        op.attrs.update({"place": name} if "place" in op.attrs else {})
    emit(harmless, tmp_path / "harmless", prefix="n")
    emit(hostile, tmp_path / "hostile", prefix="n")
    emit(hostile, tmp_path / "named")
    for folder in ("harmless", "hostile", "named"):
        for source in sources(tmp_path / folder):
            made = str(Path(source).with_suffix(".o"))
            subprocess.run([compiler(), *WARNINGS, "-Wcomment", "-Wtrigraphs", "-c", source, "-o", made], check=True)
    for path in (tmp_path / "harmless").glob("*.o"):
        assert filecmp.cmp(path, tmp_path / "hostile" / path.name, shallow=False)
    for path in (tmp_path / "named").iterdir():
        if path.suffix in (".c", ".h", ".txt", ".md"):
            text = path.read_text()
            assert text.isascii()
            assert "system(" not in text
            assert max(map(len, text.splitlines())) < 250


def all_rules(scale: float | None) -> Module:
    """An exit of each rule, two with thresholds by class, at two operating points."""
    forms = [form for form in FORMS["float" if scale is None else "int8"] if form != CLASS_THRESHOLDS]
    exits = [{"rule": rule, "threshold": 2.0} for rule in forms]
    by_class = {"threshold": 0.0, "class_thresholds": [1.0, 2.0, 3.0]}
    exits += [{"rule": rule, **by_class} for rule in ("margin", STREAM)]
    module = bare(3, [{**exit, "points": [1.0]} for exit in exits], scale)
    module.attributes["points"] = ("saver",)
    return module


@pytest.mark.parametrize("rules", [True, False])
@pytest.mark.parametrize("integer", [True, False])
def test_clang_tidy_finds_nothing(integer: bool, rules: bool, network: Module, tmp_path: Path) -> None:
    tidy = compiler("clang-tidy")
    plain = network if integer else eenn(0, 2)
    emit(all_rules(0.1 if integer else None) if rules else plain, tmp_path, counts=rules)
    done = subprocess.run([tidy, "--quiet", *sources(tmp_path), "--", "-std=c99"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


def test_the_readme_shows_code_that_compiles(network: Module, tmp_path: Path) -> None:
    spec = emit(network, tmp_path)
    shown = (tmp_path / "README.md").read_text().split("```c\n")[1].split("```")[0]
    lines = shown.splitlines()
    calls = [line for line in lines if "_init(" in line or "_run(" in line]
    declared = [line for line in lines if line not in calls]
    x = f"static {spec.prefix}_input_t x[{spec.prefix.upper()}_INPUT_SIZE];"
    text = "\n".join([*declared, x, "int main(void) {", *calls, "return r.exit < 0;", "}"])
    (tmp_path / "main.c").write_text(text + "\n")
    program = str(tmp_path / "program")
    subprocess.run([compiler(), *WARNINGS, *sources(tmp_path), "-o", program], check=True)
    subprocess.run([program], check=True)


def test_sections_are_selectable(network: Module, tmp_path: Path) -> None:
    emit(
        network,
        tmp_path,
        weights_section='__attribute__((section(".slow")))',
        arena_section='__attribute__((section(".fast")))',
    )
    (tmp_path / "main.c").write_text(
        '#include "model.h"\nRANDOM_ARENA(arena);\nvoid *here(void);\nvoid *here(void) { return arena; }\n'
    )
    found = {}
    for name, more in (
        ("weights", []),
        ("main", []),
        ("weights", ['-DRANDOM_WEIGHTS_SECTION=__attribute__((section(".other")))']),
    ):
        made = str(tmp_path / "o.o")
        subprocess.run([compiler(), *WARNINGS, *more, "-c", str(tmp_path / f"{name}.c"), "-o", made], check=True)
        found[name, bool(more)] = subprocess.run(
            ["size", "-A", made], capture_output=True, text=True, check=True
        ).stdout
    assert ".slow" in found["weights", False]
    assert ".fast" in found["main", False]
    assert ".other" in found["weights", True]


def test_the_header_is_for_cpp_too(network: Module, tmp_path: Path) -> None:
    emit(network, tmp_path)
    (tmp_path / "main.cpp").write_text('#include "model.h"\nint main() { return 0; }\n')
    subprocess.run(
        [
            compiler("g++"),
            "-Wall",
            "-Wextra",
            "-Werror",
            "-c",
            str(tmp_path / "main.cpp"),
            "-o",
            str(tmp_path / "main.o"),
        ],
        check=True,
    )


def test_cmake_takes_it_as_a_subdirectory(network: Module, tmp_path: Path) -> None:
    cmake = compiler("cmake")
    spec = emit(network, tmp_path / "net")
    (tmp_path / "main.c").write_text(
        '#include "model.h"\n'
        f"int main(void) {{ return {spec.prefix}_init(0, 0, 0) == {spec.prefix.upper()}_E_NULL ? 0 : 1; }}\n"
    )
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(firmware C)\nadd_subdirectory(net)\n"
        f"add_executable(firmware main.c)\ntarget_link_libraries(firmware PRIVATE {spec.prefix})\n"
    )
    for command in (["-S", str(tmp_path), "-B", str(tmp_path / "out")], ["--build", str(tmp_path / "out")]):
        subprocess.run([cmake, *command], check=True, capture_output=True)
    subprocess.run([str(tmp_path / "out" / "firmware")], check=True)


def test_what_does_not_fit_is_refused(network: Module, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"weights take [\d,]+ bytes, [\d,]+ more than the 1,000 bytes of flash"):
        CortexmBackend(flash=1000).check(network, integers=True)
    with pytest.raises(UserError, match=r"tensors take at least [\d,]+ bytes, [\d,]+ more than the 100 bytes"):
        CortexmBackend(ram=100).check(network, integers=True)
    backend = CortexmBackend(device="microbit")
    arena = lowered(network, backend).attributes["arena"]
    tight = replace(backend, ram=int(arena) - 4)
    with pytest.raises(UserError, match="4 more than"):
        tight.emit(lowered(network, tight), network.main, tmp_path)
    assert not list(tmp_path.iterdir())


def test_operators_without_a_kernel_are_refused_by_name() -> None:
    x = Argument("x", TensorType(("N", 4)))
    origin = Origin("m.onnx", "/gelu", ())
    op = Opaque(operands_in=[x], op_type="Erf", names=["x"], node=b"", types=[x.type], origin=origin)
    module = Module("m", Graph("main", [x], [op], [op.results[0]]), attributes={"classes": 4})
    with pytest.raises(UserError, match=r"cannot write ONNX Erf \(m.onnx node '/gelu'\)"):
        CortexmBackend().check(module, integers=False)


def test_wrong_devices(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cortex-m9"):
        CortexmBackend(device="cortex-m9").target()
    with pytest.raises(UserError, match="compiles for no device"):
        compile(eenn(0, 1), passes=(), backend="onnx", device="cortex-m4", output=tmp_path / "o")
    with pytest.raises(ValueError, match="no C name"):
        CortexmBackend(prefix="Über alles")


def test_the_manifest_tells_users_of_c_what_they_must_know(network: Module, tmp_path: Path) -> None:
    compiled = compile(network, passes=(), backend="cortexm", device="cortex-m0", output=tmp_path / "build")
    spec = compiled.manifest.c
    assert (spec.device, spec.input_dtype, spec.scores_dtype) == ("cortex-m0", "int8", "int8")
    assert spec.arena_bytes >= spec.arena_bound > 0
    quant = network.main.ops[0].result.type.quant
    assert (spec.input_scale, spec.input_zero_point) == (quant.scale, quant.zero_point)
    assert compiled.report["memory"]["arena"] == spec.arena_bytes


def test_bytes_become_integers_by_table(tmp_path: Path) -> None:

    plain = eenn(4, 2, rule="margin")
    FoldInput(mean=(100.0, 120.0, 90.0), std=(50.0, 60.0, 70.0), dtype="uint8").run(plain, Context())

    x = np.random.default_rng(0).integers(0, 256, (40, 3, 8, 6)).astype(np.uint8)
    ctx = Context(data=Splits(calibration=Split("calibration", x)))
    Calibrate().run(plain, ctx)
    QuantizeInt8().run(plain, ctx)
    for exit in exits_of(plain.main):
        exit.attrs["threshold"] = 1.0
    wanted = run_module(plain, [x])
    spec = emit(plain, tmp_path)
    assert (spec.input_dtype, spec.input_scale) == ("uint8", None)
    assert (tmp_path / "eennc_table_s8.c").exists()
    _, exit, scores = HostC(tmp_path, spec, CLASSES).run(x)
    np.testing.assert_array_equal(scores, wanted.scores)
    np.testing.assert_array_equal(exit, wanted.exit)


def test_bytes_in_another_layout_become_integers_by_table(tmp_path: Path) -> None:
    module = eenn(4, 1, rule="margin")
    fold = FoldInput(mean=(100.0, 120.0, 90.0), std=(50.0, 60.0, 70.0), dtype="uint8", layout="nhwc")
    fold.run(module, Context())
    x = np.random.default_rng(1).integers(0, 256, (40, 8, 6, 3)).astype(np.uint8)
    ctx = Context(data=Splits(calibration=Split("calibration", x)))
    Calibrate().run(module, ctx)
    QuantizeInt8().run(module, ctx)
    for exit in exits_of(module.main):
        exit.attrs["threshold"] = 1.0
    wanted = run_module(module, [x])
    spec = emit(module, tmp_path)
    assert spec.input_dtype == "uint8"
    assert not (tmp_path / "eennc_binary_f32.c").exists()
    _, exit, scores = HostC(tmp_path, spec, CLASSES).run(x)
    np.testing.assert_array_equal(scores, wanted.scores)
    np.testing.assert_array_equal(exit, wanted.exit)
