import math

import pytest
from bare_exits import bare

from eennc.ir.cuts import exits_of
from eennc.ir.verifier import verify
from eennc.passes.base import Context
from eennc.passes.exits.form_segments import FormSegments
from eennc.passes.exits.set_rule import SetRule, set_rule
from eennc.support.diagnostics import UserError


@pytest.mark.parametrize("scale", [None, 0.1])
def test_all_exits_get_rule_threshold_and_temperature(scale: float | None) -> None:
    module = bare(3, [{"threshold": 0.5, "rule": "margin"}, {"threshold": 0.7, "rule": "margin"}], scale)
    assert {exit.threshold for exit in exits_of(SetRule("patience", 2.0).preview(module).main)} == {math.inf}
    assert SetRule("max_probability", 0.8, 2.0).run(module, Context())
    verify(module)
    for exit in exits_of(module.main):
        assert (exit.rule, exit.threshold, exit.temperature) == ("max_probability", 0.8, 2.0)


def test_another_rule_takes_the_thresholds_away() -> None:
    module = bare(3, [{"threshold": 0.5, "temperature": 2.0}, {"rule": "margin", "threshold": 3.0}])
    set_rule(module, "margin")
    assert [(exit.threshold, exit.temperature) for exit in exits_of(module.main)] == [(math.inf, 1.0), (3.0, 1.0)]


@pytest.mark.parametrize("threshold", [0.0, 1.5, -1.0, math.inf])
def test_patience_is_a_number_of_exits(threshold: float) -> None:
    with pytest.raises(ValueError, match="a number of exits"):
        SetRule("patience", threshold)


def test_a_segmented_module_is_refused() -> None:
    module = bare(3, [{}])
    FormSegments().run(module, Context())
    with pytest.raises(UserError, match="segmented already"):
        SetRule("margin", 1.0).run(module, Context())
