"""Every pass's docstring, executed: the pass makes After of Before, and both compute the same."""

import re

import numpy as np
import pytest
from pass_docstrings import Example, examples_of, snippet_module
from pass_equivalence import assert_same, outputs, text_of

from eennc.ir.graph import Module
from eennc.ir.printer import print_module
from eennc.ir.verifier import verify
from eennc.passes import register
from eennc.passes.base import PASSES, Context
from eennc.support.options import build

register()
SHOWN = [name for name in PASSES if "Before:" in str(PASSES.get(name).__doc__)]


@pytest.mark.parametrize("name", SHOWN)
def test_the_docstring_is_true(name):
    for example in examples_of(str(PASSES.get(name).__doc__)):
        check(name, example)


def check(name: str, example: Example) -> None:
    module = snippet_module(example.before)
    verify(module)
    expected = snippet_module(example.after, example.before)
    original, text, taken = outputs(module), text_of(module), [value.type for value in module.main.arguments]
    p = build(PASSES.get(name), example.options, what=name)
    assert p.run(module, Context()) == (text_of(module) != text)
    verify(module)
    if "module " in example.after:
        assert (module.stage, module.attributes) == (expected.stage, expected.attributes)
    expected.stage = module.stage
    verify(expected)
    assert _comparable(module, example.after) == _comparable(expected, example.after)
    # a pass that changes what the network takes is tested on its own
    if taken == [value.type for value in module.main.arguments]:
        quant = module.main.returns[0].type.quant
        if quant is None:
            assert_same(outputs(module), original)
        else:
            (found,), (wanted,) = outputs(module), original
            assert np.abs((found.astype(float) - quant.zero_point) * quant.scale - wanted).max() <= 3 * quant.scale


def test_every_pass_that_rewrites_has_an_example():
    rewriting = {name for name in PASSES if ".canonicalise." in PASSES.get(name).__module__}
    assert rewriting
    assert rewriting <= set(SHOWN)


def _comparable(module: Module, written: str) -> str:
    """The text without the module's line, weights named in order, notes only where the example writes some."""
    text = print_module(module, notes="!{" in written, origins=False).split("\n", 2)[2]
    for number, weight in enumerate(module.weights()):
        text = re.sub(rf"@{re.escape(weight.name)}(?![\w.])", f"@w{number}", text)
    return re.sub(r"(weight @\S+ : \S+) = .*", r"\1", text)
