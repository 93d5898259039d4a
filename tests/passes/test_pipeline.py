"""The pass manager: order, options, instruments, and what is left behind when a pass fails."""

import errno
import io
from dataclasses import dataclass
from typing import ClassVar

import pytest

from eennc.ir.graph import Graph, Module
from eennc.ir.ops.identity import Identity
from eennc.ir.ops.relu import Relu
from eennc.ir.text import load_module
from eennc.ir.types import TensorType
from eennc.ir.values import Argument
from eennc.passes import register
from eennc.passes.base import PASSES, Context, Pass
from eennc.passes.instruments import DumpIR, PrintIR, Timing
from eennc.passes.pipeline import GROUPS, PRESET, Pipeline, build_passes, check_order, facts_of, up_to
from eennc.passes.reproducer import PassFailed, write_reproducer
from eennc.support.diagnostics import Place, UserError
from eennc.support.options import parse_inline

register()


@dataclass(frozen=True)
class TestRaise(Pass):
    """Raises what it is told to."""

    __test__: ClassVar[bool] = False

    kind: str = "value"

    def run(self, module: Module, ctx: Context) -> bool:
        module.main.ops.clear()
        if self.kind == "user":
            raise UserError("the user's mistake")
        if self.kind == "interrupt":
            raise KeyboardInterrupt
        if self.kind == "full":
            raise OSError(errno.ENOSPC, "No space left on device")
        raise ValueError("a bug, <b>")


@dataclass(frozen=True)
class TestBreak(Pass):
    """Leaves a type that the op does not imply."""

    __test__: ClassVar[bool] = False

    name: ClassVar[str] = "test/../break"

    def run(self, module: Module, ctx: Context) -> bool:
        module.main.ops[0].results[0].type = TensorType(("N", 5))
        return True


@dataclass(frozen=True)
class TestNeedsFoo(Pass):
    __test__: ClassVar[bool] = False
    requires: ClassVar[frozenset[str]] = frozenset({"foo"})

    def run(self, module: Module, ctx: Context) -> bool:
        return False


@dataclass(frozen=True)
class TestMakesFoo(Pass):
    __test__: ClassVar[bool] = False
    ensures: ClassVar[frozenset[str]] = frozenset({"foo"})

    def run(self, module: Module, ctx: Context) -> bool:
        return False


@dataclass(frozen=True)
class TestLosesFoo(Pass):
    __test__: ClassVar[bool] = False
    invalidates: ClassVar[frozenset[str]] = frozenset({"foo"})

    def run(self, module: Module, ctx: Context) -> bool:
        return False


for cls in (TestRaise, TestBreak, TestMakesFoo):
    PASSES.add(cls.name, cls)


def small() -> Module:
    x = Argument("x", TensorType(("N", 4)))
    graph = Graph("main", [x])
    graph.add(Identity(x=x))
    graph.add(Relu(x=graph.ops[0].result))
    graph.returns = [graph.ops[1].result]
    return Module("small", graph)


def test_entries_become_passes_and_groups_their_members():
    passes = build_passes([("canonicalise", {}), ("fuse-activation", {"kinds": ["relu"]})])
    assert [p.name for p in passes] == [*GROUPS["canonicalise"], "fuse-activation"]
    assert build_passes([("dce", {})])[0].run(small(), Context()) is False


@pytest.mark.parametrize(
    ("entry", "place", "message", "hint"),
    [
        (("fuse-activatoin", {}), "1", "unknown pass 'fuse-activatoin'", "did you mean 'fuse-activation'?"),
        (("canonicalize", {}), "1", "unknown pass 'canonicalize'", "did you mean 'canonicalise'?"),
        (("fuse-activation", {"kind": []}), "1/kind", "pass 'fuse-activation' has no option 'kind'", "'kinds'"),
        (("fuse-activation", {"kinds": ["gelu"]}), "1/kinds/0", "option 'kinds[0]'", None),
        (("canonicalise", {"x": 1}), "1/x", "'canonicalise' stands for several passes", "list the passes"),
    ],
)
def test_wrong_entries_are_refused_with_their_place(entry, place, message, hint):
    with pytest.raises(UserError) as caught:
        build_passes([("dce", {}), entry], lambda path: Place("/".join(map(str, path))))
    assert str(caught.value.place) == place
    assert message in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")


def test_the_order_is_checked_before_anything_runs():
    module = small()
    with pytest.raises(UserError) as caught:
        Pipeline([TestRaise(), TestNeedsFoo()]).run(module, Context())
    assert "'test-needs-foo' requires 'foo', which no pass before it ensures" in caught.value.message
    assert caught.value.hint == "put test-makes-foo before it"
    assert len(module.main.ops) == 2
    check_order([TestMakesFoo(), TestNeedsFoo()])
    check_order([TestNeedsFoo()], frozenset({"foo"}))
    with pytest.raises(UserError, match="and 'test-loses-foo' takes it away"):
        check_order([TestMakesFoo(), TestLosesFoo(), TestNeedsFoo()])


def test_instruments_see_every_pass(tmp_path):
    stream, timing = io.StringIO(), Timing()
    printer = PrintIR(stream, before=frozenset({"dce"}), after=frozenset({"remove-identity"}))
    changed = Pipeline(build_passes([("remove-identity", {}), ("dce", {})]), [printer, DumpIR(tmp_path), timing]).run(
        small(), Context()
    )
    assert changed
    assert [(row.name, row.changed, row.ops) for row in timing.rows] == [
        ("remove-identity", True, 1),
        ("dce", False, 1),
    ]
    assert all(row.seconds > 0 for row in timing.rows)
    titles = [line for line in stream.getvalue().splitlines() if line.startswith("// ----")]
    assert titles == ["// ---- after remove-identity", "// ---- before dce"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00-input.eir", "01-remove-identity.eir", "02-dce.eir"]
    assert "nn.identity" in (tmp_path / "00-input.eir").read_text()
    assert "nn.identity" not in load_text(tmp_path / "02-dce.eir")


def load_text(path) -> str:
    return path.read_text(encoding="utf-8")


def test_print_after_all():
    stream = io.StringIO()
    Pipeline(build_passes([("dce", {}), ("cse", {})]), [PrintIR(stream, after_all=True)]).run(small(), Context())
    assert stream.getvalue().count("// ---- after") == 2
    assert "// ---- after cse (no change)" in stream.getvalue()


def test_stop_after_a_pass_or_a_group():
    timing = Timing()
    passes = [*build_passes([("dce", {}), ("cse", {}), ("dce", {})]), TestRaise()]
    Pipeline(up_to("dce", passes), [timing]).run(small(), Context())
    passes = [*build_passes([("canonicalise", {})]), TestRaise()]
    Pipeline(up_to("canonicalise", passes), [timing]).run(small(), Context())
    assert [row.name for row in timing.rows] == ["dce", *GROUPS["canonicalise"]]
    with pytest.raises(UserError, match=r"(?s)'dec'.*known: .*cse, dce.*did you mean 'dce'"):
        up_to("dec", passes)


@pytest.mark.parametrize(("p", "why"), [(TestRaise(kind="a b"), "ValueError: a bug"), (TestBreak(), "VerifyError")])
def test_a_failing_pass_leaves_a_reproducer_that_reproduces(tmp_path, p, why):
    module = small()
    with pytest.raises(PassFailed, match=why) as caught:
        Pipeline([*build_passes([("dce", {})]), p, TestMakesFoo()], reproducers=tmp_path).run(module, Context(seed=7))
    folder = caught.value.reproducer
    assert folder is not None
    assert folder.parent == tmp_path
    assert sorted(path.name for path in folder.iterdir()) == [
        "command.txt", "error.txt", "module.eir", "module.weights.npz", "pipeline.txt",
    ]  # fmt: skip
    assert "Traceback" in load_text(folder / "error.txt")
    assert why.partition(":")[0] in load_text(folder / "error.txt")
    assert "--seed 7" in load_text(folder / "command.txt")
    saved = load_module(folder / "module.eir")
    assert saved.fingerprint() == small().fingerprint()
    if "/" in p.name:
        return  # such a name only comes from Python; it has no inline form
    rest = build_passes(parse_inline(load_text(folder / "pipeline.txt")))
    assert rest == [p, TestMakesFoo()]
    with pytest.raises(PassFailed, match=why) as again:
        Pipeline(rest, reproducers=tmp_path).run(saved, Context(seed=7))
    assert again.value.reproducer != folder


def test_the_message_of_a_broken_ir_shows_the_op(tmp_path):
    with pytest.raises(PassFailed) as caught:
        Pipeline([TestBreak()], reproducers=tmp_path).run(small(), Context())
    assert "pass 'test/../break' broke the IR" in str(caught.value)
    assert "nn.identity %x : tensor<Nx5xf32>" in str(caught.value)
    assert f"reproducer: {tmp_path}" in str(caught.value)


def test_without_verify_only_what_raises_fails(tmp_path):
    assert Pipeline([TestBreak()], verify=False, reproducers=tmp_path).run(small(), Context())


def test_the_users_errors_and_interrupts_pass_through(tmp_path):
    for kind, error in (("user", UserError), ("interrupt", KeyboardInterrupt), ("full", UserError)):
        with pytest.raises(error):
            Pipeline([TestRaise(kind=kind)], reproducers=tmp_path).run(small(), Context())
    assert not list(tmp_path.iterdir())


def test_a_reproducer_that_cannot_be_written_hides_nothing(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(PassFailed, match="a bug") as caught:
        Pipeline([TestRaise()], reproducers=blocked).run(small(), Context())
    assert caught.value.reproducer is None
    assert "no reproducer could be written" in str(caught.value)


def test_a_reproducer_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr("eennc.passes.reproducer._command", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_reproducer(small(), [TestRaise()], 0, ValueError("x"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_broken_module_is_not_blamed_on_a_pass():
    module = small()
    TestBreak().run(module, Context())
    with pytest.raises(UserError, match="the module is broken before any pass"):
        Pipeline(build_passes([("dce", {})])).run(module, Context())


def test_facts_show_in_a_module_that_comes_with_exits():
    from pass_docstrings import snippet_module

    text = """
argument %x : tensor<Nx4xf32>
weight @a : tensor<3x4xf32>
%0 = nn.dense %x, @a : tensor<Nx3xf32>
%1 = ee.exit %0 carry(%x) {exit = 0THRESHOLD} : tensor<Nx4xf32>
%2 = nn.dense %1, @a : tensor<Nx3xf32>"""
    assert facts_of(small()) == set()
    assert facts_of(snippet_module(text.replace("THRESHOLD", ""))) == {"exits", "trained-heads"}
    module = snippet_module(text.replace("THRESHOLD", ", threshold = 0.5"))
    assert facts_of(module) == {"exits", "trained-heads", "thresholds"}
    Pipeline(build_passes([("annotate-cost", {})])).run(module, Context())
    assert "costs" in facts_of(module)


def test_dce_keeps_an_exit_that_nothing_comes_after():
    from pass_docstrings import snippet_module

    module = snippet_module(
        """
argument %x : tensor<Nx3xf32>
%0 = nn.relu %x : tensor<Nx3xf32>
%1 = ee.exit %0 carry(%x) {exit = 0} : tensor<Nx3xf32>
%2 = nn.fill {shape = [1, 3]} : tensor<1x3xf32>
%3 = nn.add %1, %2 : tensor<Nx3xf32>"""
    )
    module.main.returns = [module.main.ops[2].result]
    assert not module.main.ops[1].pure
    assert build_passes([("dce", {})])[0].run(module, Context())
    assert [op.name for op in module.main.ops] == ["nn.relu", "ee.exit", "nn.fill"]


def test_the_preset_is_in_order():
    check_order(build_passes(PRESET))


def test_a_pass_that_forgets_to_say_whether_it_changed_anything_is_named(tmp_path):
    @dataclass(frozen=True)
    class Forgetful(Pass):
        def run(self, module, ctx):
            pass

    with pytest.raises(PassFailed, match=r"pass 'forgetful' failed: TypeError: run must return whether"):
        Pipeline([Forgetful()], reproducers=tmp_path).run(small(), Context())
