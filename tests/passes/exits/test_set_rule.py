import math

import pytest
from bare_exits import bare

from eennc.ir.cuts import exits_of
from eennc.ir.parser import parse_module
from eennc.ir.printer import print_module
from eennc.ir.verifier import verify
from eennc.passes.base import Context
from eennc.passes.exits.form_segments import FormSegments
from eennc.passes.exits.set_rule import SetRule, set_rule
from eennc.passes.exits.solve_thresholds import SolveThresholds
from eennc.support.diagnostics import UserError


@pytest.mark.parametrize("scale", [None, 0.1])
def test_all_exits_get_rule_threshold_and_temperature(scale: float | None) -> None:
    module = bare(3, [{"threshold": 0.5, "rule": "margin"}, {"threshold": 0.7, "rule": "margin"}], scale)
    assert {exit.rule for exit in exits_of(SetRule("patience", 2.0).preview(module).main)} == {"patience"}
    assert {exit.rule for exit in exits_of(module.main)} == {"margin"}
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


def test_what_the_numbers_have_no_form_for_is_refused_by_name() -> None:
    module = bare(3, [{"rule": "margin"}], 0.1)
    for change in (SetRule("entropy", 0.5).preview, SolveThresholds(rule="entropy").preview):
        with pytest.raises(UserError) as caught:
            change(module)
        assert caught.value.message == "the rule entropy has no form for int8 logits (exit 0, 'exit0')"
        assert caught.value.allowed == "rules for int8 logits: max_probability, margin, patience, temporal-patience"


def test_class_thresholds() -> None:
    module = bare(3, [{}, {}])
    SetRule("margin", 0.0, class_thresholds=(1.0, 2.0, math.inf)).run(module, Context())
    verify(module)
    assert {exit.class_thresholds for exit in exits_of(module.main)} == {(1.0, 2.0, math.inf)}
    again = parse_module(print_module(module))
    assert [exit.attrs for exit in exits_of(again.main)] == [exit.attrs for exit in exits_of(module.main)]
    set_rule(module, "entropy")
    assert {exit.class_thresholds for exit in exits_of(module.main)} == {()}
    with pytest.raises(UserError, match="2 class_thresholds for 3 classes"):
        SetRule("margin", 0.0, class_thresholds=(1.0, 2.0)).run(module, Context())
    with pytest.raises(ValueError, match="patience has none"):
        SetRule("patience", 2.0, class_thresholds=(1.0, 2.0, 3.0))
