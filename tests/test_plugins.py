"""A third party's passes enter in three ways: a file, an installed package, Python. The built-ins use the same door."""

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from eennc import plugins
from eennc.ir.graph import Graph, Module
from eennc.ir.op import OPS
from eennc.ir.ops.candidate import Candidate
from eennc.ir.ops.dense import Dense
from eennc.ir.types import TensorType
from eennc.ir.values import Argument, Weight
from eennc.passes.base import PASSES, Context, Pass
from eennc.passes.pipeline import Pipeline, build_passes
from eennc.plugins import load_file, load_plugins
from eennc.support.diagnostics import UserError

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "custom_pass"

PASS = '''
"""A pass for a test."""
from dataclasses import dataclass
from eennc.passes.base import Pass

@dataclass(frozen=True)
class {name}(Pass):
    times: int = 1

    def run(self, module, ctx):
        module.attributes["times"] = self.times
        return True
'''


@pytest.fixture(autouse=True)
def _registries(monkeypatch):
    """What a test registers goes again."""
    for registry in (PASSES, OPS):
        monkeypatch.setattr(registry, "_things", dict(registry._things))
    loaded = set(sys.modules)
    yield
    for name in set(sys.modules) - loaded:
        if name.startswith(("eennc_user_", "tiny_")):
            del sys.modules[name]


def network() -> Module:
    import numpy as np

    x = Argument("x", TensorType(("N", 4)))
    graph = Graph("main", [x])
    value = x
    for number in range(10):
        value = graph.add(Dense(x=value, weight=Weight(f"w{number}", np.ones((4, 4), np.float32)))).result
        graph.add(Candidate(x=value, place=f"p{number}"))
    graph.returns = [value]
    return Module("network", graph)


def test_a_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(PASS.format(name="FromFile"))
    load_file(file)
    load_file(file)
    module = network()
    assert Pipeline(build_passes([("from-file", {"times": 3})])).run(module, Context())
    assert module.attributes["times"] == 3


def test_the_example_of_a_custom_pass():
    load_plugins()
    load_file(EXAMPLE / "my_pass.py")
    module = network()
    passes = build_passes([("drop-late-exits", {"share": 0.5})])
    passes[0].run(module, Context())
    assert [op.place for op in module.main.ops if isinstance(op, Candidate)] == [f"p{n}" for n in range(5)]
    with pytest.raises(UserError, match="must be number > 0 and <= 1, not 2"):
        build_passes([("drop-late-exits", {"share": 2})])


def test_the_example_does_what_its_docstring_says():
    sys.path.insert(0, str(Path(__file__).parent / "passes"))
    from pass_docstrings import examples_of, snippet_module

    from eennc.ir.printer import print_module

    load_file(EXAMPLE / "my_pass.py")
    cls = PASSES.get("drop-late-exits")
    (example,) = examples_of(str(cls.__doc__))
    module = snippet_module(example.before)
    assert cls().run(module, Context())
    assert print_module(module) == print_module(snippet_module(example.after, example.before))


def package(folder: Path, name: str, body: str) -> None:
    """What pip leaves in site-packages for a small distribution."""
    (folder / f"tiny_{name}.py").write_text(body)
    info = folder / f"tiny_{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tiny-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[eennc.plugins]\nextra = tiny_{name}:register\n")


def test_an_installed_package(tmp_path, monkeypatch):
    register = (
        "\n\ndef register():\n    from eennc.passes.base import PASSES\n    PASSES.add('from-package', FromPackage)\n"
    )
    package(tmp_path, "good", PASS.format(name="FromPackage") + register)
    monkeypatch.syspath_prepend(tmp_path)
    load_plugins()
    load_plugins()
    module = network()
    assert Pipeline(build_passes([("from-package", {})])).run(module, Context())
    assert module.attributes["times"] == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("def register():\n    raise RuntimeError('broken inside')\n", "RuntimeError: broken inside"),
        ("import no_such_module_anywhere\n", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("x = 1\n", "AttributeError"),
        (
            "from eennc.passes.base import PASSES\ndef register():\n    PASSES.add('dce', int)\n",
            "is called 'dce' already",
        ),
    ],
)
def test_a_failing_package_is_named(tmp_path, monkeypatch, body, reason):
    package(tmp_path, "bad", body)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError) as caught:
        load_plugins()
    assert "plugin 'extra' of package 'tiny-bad' failed" in caught.value.message
    assert reason in caught.value.message
    assert caught.value.hint == "update or uninstall 'tiny-bad'"


def test_python():
    @dataclass(frozen=True)
    class Mine(Pass):
        def run(self, module: Module, ctx: Context) -> bool:
            module.attributes["mine"] = True
            return True

    module = network()
    assert Pipeline([Mine()]).run(module, Context())
    assert module.attributes["mine"] is True


def test_the_built_ins_are_found_without_metadata(monkeypatch):
    monkeypatch.setattr(plugins, "entry_points", lambda group: ())
    monkeypatch.setattr(PASSES, "_things", {})
    load_plugins()
    assert {"canonicalise", "dce"} & set(PASSES) == {"dce"}


def test_the_metadata_says_what_the_built_ins_are():
    import tomllib

    project = tomllib.loads((EXAMPLE.parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = project["entry-points"][plugins.GROUP]
    assert declared == {point.name: point.value for point in plugins.BUILT_IN}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("x = 1\ny = x +\n", 2, "SyntaxError"),
        ("import sys\n\nraise ValueError('as it loads')\n", 3, "ValueError: as it loads"),
        ("def f():\n    return 1 / 0\n\nf()\n", 2, "ZeroDivisionError"),
        ("import json\njson.loads('{')\n", 2, "JSONDecodeError"),
        ("import no_such_module_anywhere\n", 1, "ModuleNotFoundError"),
        (PASS.format(name="Bare").replace("@dataclass(frozen=True)\n", ""), 6, "pass class Bare is not a dataclass"),
    ],
)
def test_a_file_that_does_not_run_is_refused_with_the_line(tmp_path, text, line, message):
    file = tmp_path / "mine.py"
    file.write_text(text)
    loaded = set(sys.modules)
    with pytest.raises(UserError) as caught:
        load_file(file)
    assert message in caught.value.message
    assert caught.value.place is not None
    assert (caught.value.place.file, caught.value.place.line) == (str(file), line)
    assert not [name for name in set(sys.modules) - loaded if name.startswith("eennc_user_mine")]


def test_a_taken_name_is_refused(tmp_path):
    load_plugins()
    file = tmp_path / "mine.py"
    file.write_text(PASS.format(name="Cse"))
    with pytest.raises(UserError, match="is called 'cse' already") as caught:
        load_file(file)
    assert str(caught.value.place) == str(file)


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load_file(tmp_path / "nothing.py")
    (tmp_path / "text.txt").write_text("x")
    with pytest.raises(UserError, match="not a Python file"):
        load_file(tmp_path / "text.txt")
