"""The same flow from Python."""

from dataclasses import dataclass

import numpy as np
import pytest
from c_runs import HostC, given
from tiny_model import CLASSES, QUICK, images, model

import eennc
from eennc.backends.null import NullBackend
from eennc.data.splits import Split, Splits
from eennc.driver import default_cache
from eennc.interop.onnx.reader import module_from_proto
from eennc.ir.cuts import exits_of
from eennc.ir.interpreter import run_module
from eennc.ir.ops.exit import Exit
from eennc.ir.text import load_module
from eennc.passes.base import Pass
from eennc.passes.exits.find_exits import FindExits
from eennc.passes.instruments import Timing
from eennc.support.diagnostics import UserError


def split(name: str, samples: int, seed: int) -> Split:
    x, y = images(samples, seed)
    return Split(name, x, y)


DATA = Splits(split("a", 300, 1), split("b", 120, 2), split("c", 150, 3))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def test_a_proto_and_a_module_give_the_same(cache, tmp_path):
    proto = model()
    module = module_from_proto(proto, "tiny")
    before = module.fingerprint()
    one = eennc.compile(proto, passes=QUICK, data=DATA, cache=cache, output=tmp_path / "one")
    two = eennc.compile(module, passes=QUICK, data=DATA, cache=cache, output=tmp_path / "two")
    assert module.fingerprint() == before
    for name in ("model.onnx", "base.onnx"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert one.folder == tmp_path / "one"
    assert one.summary is not None
    assert one.summary.test is not None
    # splits are called after what they are for
    assert (one.summary.calibration.split, one.summary.test.split) == ("calibration", "test")
    assert one.met
    assert two.manifest is not None
    assert two.manifest.classes == CLASSES


def test_the_artefact_is_the_module(cache, tmp_path):
    """Scores and exits in onnxruntime against the numpy interpreter on the module that was compiled."""
    compiled = eennc.compile(model(), passes=QUICK, data=DATA, cache=cache, output=tmp_path / "build")
    x, _ = images(60, 9)
    expected = run_module(compiled.module, [x])
    found = eennc.load(tmp_path / "build").predict(x)
    np.testing.assert_array_equal(found.exit, expected.exit)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4 * np.abs(expected.scores).max())


def test_nothing_is_written_without_an_output(cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    compiled = eennc.compile(model(), passes=QUICK, data=DATA, cache=cache, backend=NullBackend())
    assert compiled.folder is compiled.manifest is None
    assert compiled.module.stage == "segmented"
    assert not list(tmp_path.iterdir())


def test_another_seed_trains_other_heads(cache):
    one, two, three = (
        eennc.compile(model(), passes=QUICK, data=DATA, cache=cache, seed=seed).module.fingerprint()
        for seed in (0, 1, 0)
    )
    assert one == three != two


def test_a_user_may_form_segments_himself(cache):
    compiled = eennc.compile(model(), passes=f"{QUICK},form-segments,cse", data=DATA, cache=cache)
    assert compiled.report["passes"].count("form-segments") == 1


INT8 = QUICK.replace("solve-thresholds", "calibrate,quantize-int8,solve-thresholds")


@pytest.mark.parametrize("passes", [QUICK, INT8, f"{QUICK},form-segments,cse"])
def test_a_tflite_artefact_is_the_module(passes, cache, tmp_path):
    compiled = eennc.compile(
        model(), passes=passes, data=DATA, cache=cache, output=tmp_path / "build", backend="tflite"
    )
    x, y = images(60, 9)
    expected = run_module(compiled.module, [x])
    session = eennc.load(tmp_path / "build")
    found = session.predict(x)
    assert found.exit.dtype == np.int64
    scores = expected.scores
    if passes == INT8:
        quant = compiled.module.main.returns[0].type.quant
        scores = (scores.astype(np.float32) - quant.zero_point) * quant.scale
    # LiteRT's fast kernels round in floats
    same = found.exit == expected.exit
    assert same.mean() > (0.9 if passes == INT8 else 0.99)
    near = (0.02 if passes == INT8 else 1e-5) * np.abs(scores).max()
    np.testing.assert_allclose(found.scores[same], scores[same], atol=near)
    assert (session.base_scores(x).argmax(axis=1) == y).mean() > 0.7
    assert compiled.manifest is not None
    assert compiled.manifest.classes == CLASSES
    if passes == INT8:
        assert compiled.report["quantisation"]
        assert compiled.report["cost"]["total"]["params"] > compiled.report["base_cost"]["params"] > 600


@pytest.mark.parametrize("backend", ["onnx", "tflite"])
def test_integers_of_a_network_for_one_sample(backend, cache, tmp_path):
    """A batch of 1 that is baked in, as many exporters leave it: all as with a free batch."""
    proto = model()
    for port in (*proto.graph.input, *proto.graph.output):
        port.type.tensor_type.shape.dim[0].dim_value = 1
    arguments = {"passes": INT8, "data": DATA, "cache": cache, "backend": backend}
    baked = eennc.compile(proto, output=tmp_path / "baked", **arguments)
    free = eennc.compile(model(), output=tmp_path / "free", **arguments)
    assert baked.report["result"] == free.report["result"]
    x, _ = images(30, 9)
    found, expected = (eennc.load(tmp_path / name).predict(x) for name in ("baked", "free"))
    np.testing.assert_array_equal(found.exit, expected.exit)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)


@pytest.mark.parametrize("passes", [QUICK, INT8])
@pytest.mark.parametrize("backend", ["onnx", "tflite"])
def test_no_exit_left(passes, backend, cache, tmp_path):
    text = passes.replace("limit=0.2", "limit=0,max_exits=0")
    compiled = eennc.compile(model(), passes=text, data=DATA, cache=cache, output=tmp_path / "build", backend=backend)
    assert not [op for op in compiled.module.ops() if isinstance(op, Exit)]
    assert any("no exit pays" in warning for warning in compiled.report["warnings"])
    x, _ = images(5, 4)
    assert eennc.load(tmp_path / "build").predict(x).exit.tolist() == [0] * 5


def test_layout_before_thresholds(cache, tmp_path):
    """What `eennc diff` compares is the network before its layout changed, with the last exits and thresholds."""
    text = INT8.replace("solve-thresholds{limit=0.2}", "channels-last,solve-thresholds{limit=0.2,max_exits=1}")
    compiled = eennc.compile(model(), passes=text, data=DATA, cache=cache, output=tmp_path / "build")
    kept = load_module(tmp_path / "build" / "int8.eir")
    assert [op.attrs for op in exits_of(kept.main)] == [op.attrs for op in exits_of(compiled.module.main)]
    assert all(op.result.type.layout is None for op in kept.main.ops if op.name == "q.conv")


def test_passes_as_instances(cache):
    marked = eennc.compile(model(), passes=[FindExits(min_gap=0)], cache=cache, stop_after="find-exits")
    assert any(op.name == "ee.candidate" for op in marked.module.ops())


def test_bad_use(cache, tmp_path):
    unlabelled = Splits(DATA.train, Split("b", DATA.calibration.x), DATA.test)
    for arguments, message in (
        ({"data": unlabelled}, "the calibration data have no labels"),
        ({"data": {"tests": "a.npz"}}, "unknown split 'tests'"),
        ({"data": Splits(Split("a", DATA.train.x[:, 0]))}, "no calibration data"),
        ({"data": Splits(DATA.train, Split("b", DATA.test.x[:, 0], DATA.test.y))}, "calibration data: 'x' has shape"),
        ({"data": DATA, "output": tmp_path, "stop_after": "cse"}, "ends before there is an artefact"),
        ({"data": DATA, "passes": [FindExits]}, "is not a pass"),
    ):
        with pytest.raises(UserError) as error:
            eennc.compile(model(), **{"passes": QUICK, "cache": cache, **arguments})
        assert message in error.value.message


def test_what_the_backend_cannot_write_is_refused_before_long_work(cache, tmp_path):
    baked = module_from_proto(model(), "tiny")
    baked.attributes["batch"] = 4
    timing = Timing()
    arguments = {"passes": QUICK, "data": DATA, "cache": cache, "instruments": [timing]}
    with pytest.raises(UserError, match="takes 4 samples at once"):
        eennc.compile(baked, output=tmp_path / "build", **arguments)
    assert "train-exits" not in {row.name for row in timing.rows}
    assert not list(tmp_path.iterdir())


def test_tflite_refuses_before_long_work(cache):
    proto = model()
    for node in proto.graph.node:
        if node.name == "/two/Relu":
            node.op_type = "Erf"
    timing = Timing()
    arguments = {"passes": QUICK, "data": DATA, "cache": cache, "instruments": [timing]}
    with pytest.raises(UserError, match=r"cannot write ONNX Erf \(.*/two/Relu.*\)"):
        eennc.compile(proto, backend="tflite", **arguments)
    with pytest.raises(UserError, match="is for quantised networks"):
        eennc.compile(model(), backend="tflite{io=int8}", **arguments)
    with pytest.raises(UserError, match=r"ONNX Erf \(.*/two/Relu.*\) has no form in integers"):
        eennc.compile(proto, **{**arguments, "passes": INT8})
    assert "train-exits" not in {row.name for row in timing.rows}


def test_c_refuses_before_long_work(cache):
    timing = Timing()
    arguments = {"passes": INT8, "data": DATA, "cache": cache, "instruments": [timing]}
    for backend, message in (
        ("cortexm{flash=100}", "more than the 100 bytes of flash"),
        ("cortexm{ram=100}", r"tensors take at least [\d,]+ bytes, [\d,]+ more than the 100 bytes .* at .*two"),
        ("cortexm{device=cortex-m2}", "cortex-m2"),
    ):
        with pytest.raises(UserError, match=message):
            eennc.compile(model(), backend=backend, **arguments)
    assert "train-exits" not in {row.name for row in timing.rows}


def test_a_rule_that_cannot_be_is_refused_before_long_work(cache):
    @dataclass(frozen=True)
    class Poor(NullBackend):
        name = "poor"
        rules = {"float": ("margin",), "int8": ("margin",)}  # noqa: RUF012 - as every backend declares it

    timing = Timing()
    arguments = {"data": DATA, "cache": cache, "instruments": [timing]}
    entropy = INT8.replace("limit=0.2", "limit=0.2,rule=entropy")
    with pytest.raises(UserError, match="the rule entropy has no form for int8 logits"):
        eennc.compile(model(), passes=entropy, backend="tflite", **arguments)
    with pytest.raises(UserError, match="the poor backend cannot write max_probability of float logits"):
        eennc.compile(model(), passes=QUICK, backend=Poor(), **arguments)
    assert "train-exits" not in {row.name for row in timing.rows}
    eennc.compile(model(), passes=QUICK.replace("limit=0.2", "limit=0.2,rule=margin"), backend=Poor(), **arguments)


PATIENCE = ("solve-thresholds{limit=0.2}", "set-rule{rule=patience,threshold=1}")


@pytest.mark.parametrize(
    ("rule", "passes"),
    [
        ("max_probability", INT8.replace("limit=0.2", "limit=0.3,rule=max_probability")),
        ("entropy", QUICK.replace("limit=0.2", "limit=0.3,rule=entropy")),
        ("patience", QUICK.replace(*PATIENCE)),
        ("patience", INT8.replace(*PATIENCE)),
    ],
)
@pytest.mark.parametrize("backend", ["onnx", "onnx{batch=free}", "tflite", "cortexm"])
def test_rules(passes, backend, rule, cache, tmp_path):
    build = tmp_path / "build"
    compiled = eennc.compile(model(), passes=passes, data=DATA, cache=cache, output=build, backend=backend)
    assert {spec.rule for spec in compiled.manifest.exits} == {rule}
    x, _ = images(60, 9)
    if backend == "cortexm":
        taken = given(x, compiled.manifest.c)
        found = HostC(build, compiled.manifest.c, CLASSES).run(taken)[1]
        np.testing.assert_array_equal(found, run_module(compiled.module, [taken]).exit)
    else:
        found = eennc.load(build).predict(x).exit
        # the runtimes' fast kernels round in floats
        assert (found == run_module(compiled.module, [x]).exit).mean() > (0.9 if "int8" in passes else 0.99)
    # of its one exit patience lets all leave
    assert len(set(found)) == (1 if rule == "patience" else 2)


@pytest.mark.parametrize("passes", [QUICK, INT8])
def test_c_without_any_exit(passes, cache, tmp_path):
    text = passes.replace("limit=0.2", "limit=0,max_exits=0")
    compiled = eennc.compile(model(), passes=text, data=DATA, cache=cache, output=tmp_path / "build", backend="cortexm")
    assert "_EXITS 0" in (tmp_path / "build" / "model.h").read_text()
    assert compiled.manifest.c.points == ("normal",)


@pytest.mark.parametrize(("passes", "stage"), [(QUICK, "exits-placed"), (INT8, "quantised")])
def test_the_backend_is_asked_about_what_will_come(passes, stage, cache):
    seen = []

    @dataclass(frozen=True)
    class Asked(NullBackend):
        def check(self, module, *, integers):
            seen.append((module.stage, integers))

    timing = Timing()
    eennc.compile(model(), passes=passes, data=DATA, cache=cache, backend=Asked(), instruments=[timing])
    assert seen == [(stage, stage == "quantised")]
    assert "train-exits" in {row.name for row in timing.rows}


def test_a_pass_says_which_data_it_needs(cache):
    class Look(Pass):
        needs = frozenset({"test"})
        labelled = frozenset({"train"})

        def run(self, module, ctx):
            return False

    for data, message in (
        (Splits(DATA.train), "no test data, which look needs"),
        (
            Splits(Split("a", DATA.train.x), DATA.calibration, DATA.test),
            "the train data have no labels, which look needs",
        ),
    ):
        with pytest.raises(UserError) as error:
            eennc.compile(model(), passes=[Look()], data=data, cache=cache)
        assert message in error.value.message
    assert eennc.compile(model(), passes=[Look()], data=Splits(test=DATA.test), cache=cache).module.main.ops


def test_the_cache_is_where_the_user_keeps_such_things(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "eennc"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache() == tmp_path / ".cache/eennc"


def test_the_package_names_what_it_offers():
    assert {"compile", "load", "Compiled", "Splits"} <= set(dir(eennc))
    assert eennc.__version__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        eennc.nothing  # noqa: B018
