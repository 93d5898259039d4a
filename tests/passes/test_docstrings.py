"""Every pass's docstring, executed: the pass makes After of Before, and both compute the same."""

import re

import pytest
from pass_docstrings import examples_of, snippet_module
from pass_equivalence import assert_same, outputs, text_of

from eennc.ir.graph import Module
from eennc.ir.printer import print_module
from eennc.ir.verifier import verify
from eennc.passes import register
from eennc.passes.base import PASSES, Context

register()
EXAMPLES = [(name, i, example) for name in PASSES for i, example in enumerate(examples_of(PASSES.get(name).__doc__))]


@pytest.mark.parametrize(("name", "example"), [pytest.param(n, e, id=f"{n}-{i}") for n, i, e in EXAMPLES])
def test_the_docstring_is_true(name, example):
    module = snippet_module(example.before)
    verify(module)
    expected = snippet_module(example.after, example.before)
    original, text = outputs(module), text_of(module)
    assert PASSES.get(name)().run(module, Context()) == (text_of(module) != text)
    verify(module)
    expected.stage = module.stage
    verify(expected)
    assert _comparable(module, example.after) == _comparable(expected, example.after)
    assert_same(outputs(module), original)


def test_every_pass_that_rewrites_has_an_example():
    rewriting = {name for name in PASSES if ".canonicalise." in PASSES.get(name).__module__}
    assert rewriting
    assert rewriting <= {name for name, _, _ in EXAMPLES}


def _comparable(module: Module, written: str) -> str:
    """The text without the module's line, weights named in order, notes only where the example writes some."""
    text = print_module(module, notes="!{" in written, origins=False).split("\n", 2)[2]
    for number, weight in enumerate(module.weights()):
        text = re.sub(rf"@{re.escape(weight.name)}(?![\w.])", f"@w{number}", text)
    return re.sub(r"(weight @\S+ : \S+) = .*", r"\1", text)
