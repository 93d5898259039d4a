"""Options from plain values: what is taken, what is refused and in which words, and the inline form."""

import datetime
import math
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import pytest
from annotated_types import Ge, Interval, Len
from hypothesis import given
from hypothesis import strategies as st

from eennc.support.diagnostics import Place, UserError
from eennc.support.options import build, describe, parse_inline, to_inline


@dataclass(frozen=True)
class Inner:
    size: int = 1
    """Of what is inside."""
    share: float = 0.5


@dataclass(frozen=True)
class Base:
    places: tuple[str, ...] = ()
    """Where exits
    go."""


@dataclass(frozen=True)
class Options(Base):
    name: ClassVar[str] = "demo"

    head: Literal["pooled", "conv"] = "pooled"
    epochs: Annotated[int, Ge(1)] = 3
    rate: Annotated[float, Interval(gt=0, le=1)] = 0.1
    limit: float | None = None
    """Points."""
    quiet: bool = False
    inner: Inner = Inner()
    table: dict[str, float] = field(default_factory=dict)
    pair: tuple[int, str] = (1, "a")
    many: tuple[Inner, ...] = ()
    some: Annotated[tuple[int, ...], Len(1)] = (1,)

    def __post_init__(self) -> None:
        if self.epochs == 13:
            raise ValueError("epochs may not be 13")


@dataclass(frozen=True)
class Needs:
    name: ClassVar[str] = "needs"
    path: str


def refused(**options: object) -> UserError:
    with pytest.raises(UserError) as caught:
        build(Options, options, what="pass 'demo'", place_of=lambda path: Place("/".join(map(str, path)) or "-"))
    return caught.value


def test_plain_values_become_an_instance():
    built = build(
        Options,
        {
            "places": ["a", "b"],
            "rate": 1,
            "limit": math.inf,
            "inner": {"size": 2},
            "table": {"x": 1},
            "many": [{}, {"share": 2}],
        },
        what="pass 'demo'",
    )
    assert built == Options(
        places=("a", "b"), rate=1.0, limit=math.inf, inner=Inner(2), table={"x": 1.0}, many=(Inner(), Inner(1, 2.0))
    )
    assert build(Options, {}, what="pass 'demo'") == Options()


@pytest.mark.parametrize(
    ("options", "place", "message"),
    [
        ({"epochs": 0}, "epochs", "option 'epochs' of pass 'demo' must be integer >= 1, not 0"),
        ({"epochs": "3"}, "epochs", 'must be integer >= 1, not "3"'),
        ({"epochs": 3.0}, "epochs", "must be integer >= 1, not 3.0"),
        ({"epochs": True}, "epochs", "must be integer >= 1, not true"),
        ({"rate": 2}, "rate", "must be number > 0 and <= 1, not 2"),
        ({"quiet": 1}, "quiet", "must be true | false, not 1"),
        ({"limit": "x"}, "limit", "must be number or none, not x"),
        ({"limit": datetime.date(2020, 1, 2)}, "limit", "must be number or none, not 2020-01-02"),
        ({"places": "a"}, "places", "must be list of text, not a"),
        ({"places": ["a", 1]}, "places/1", "option 'places[1]' of pass 'demo' must be text, not 1"),
        ({"inner": {"size": "x"}}, "inner/size", "option 'inner.size' of pass 'demo' must be integer, not x"),
        ({"many": [{}, {"share": None}]}, "many/1/share", "option 'many[1].share' of pass 'demo' must be number"),
        ({"table": {"a b": "y"}}, "table/a b", "must be number, not y"),
        ({"pair": [1]}, "pair", "must be [integer, text], not [1]"),
        ({"some": []}, "some", "must be list of integer (at least 1), not []"),
        ({"head": "conf"}, "head", "must be pooled | conv, not conf"),
        ({"epochs": 13}, "-", "pass 'demo': epochs may not be 13"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place_and_the_type(options, place, message):
    error = refused(**options)
    assert message in error.message
    assert str(error.place) == place


def test_hints_name_the_nearest_word():
    assert refused(head="conf").hint == "did you mean 'conv'?"
    error = refused(plaecs=["a"])
    assert error.message == "pass 'demo' has no option 'plaecs'"
    assert error.hint == "did you mean 'places'?"
    assert "places (list of text, default []), head (pooled | conv, default pooled)" in str(error.allowed)
    inner = refused(many=[{}, {"sise": 1}])
    assert (inner.message, str(inner.place)) == ("pass 'demo' has no option 'sise' in 'many[1]'", "many/1/sise")
    assert inner.hint == "did you mean 'size'?"


def test_an_option_without_default_must_be_given():
    with pytest.raises(UserError, match="pass 'needs' needs option 'path'"):
        build(Needs, {}, what="pass 'needs'")
    assert describe(Needs)[0].default_text is None
    assert str(describe(Needs)[0]) == "path (text, required)"


def test_the_doc_is_the_text_below_the_field():
    docs = {option.name: option.doc for option in describe(Options)}
    assert docs["places"] == "Where exits\ngo."
    assert docs["limit"] == "Points."
    assert docs["head"] == ""
    texts = {option.name: (option.type_text, option.default_text) for option in describe(Options)}
    assert texts["rate"] == ("number > 0 and <= 1", "0.1")
    assert texts["inner"][1] == "{size=1,share=0.5}"


words = st.text(min_size=0, max_size=8)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
options = st.fixed_dictionaries(
    {},
    optional={
        "places": st.lists(words, max_size=3),
        "head": st.sampled_from(["pooled", "conv"]),
        "epochs": st.integers(14, 10**20),
        "rate": st.floats(1e-9, 1),
        "limit": st.none() | st.floats(allow_nan=False),
        "quiet": st.booleans(),
        "inner": st.fixed_dictionaries({}, optional={"size": st.integers(), "share": st.floats(allow_nan=False)}),
        "table": st.dictionaries(words, st.floats(allow_nan=False), max_size=3),
        "pair": st.tuples(st.integers(), words),
    },
)


@given(options)
def test_the_inline_form_round_trips(given_options):
    built = build(Options, given_options, what="pass")
    [(name, parsed)] = parse_inline(to_inline(built))
    assert name == "demo"
    assert build(Options, parsed, what="pass") == built


def error_of(call) -> UserError | None:
    try:
        call()
    except UserError as error:
        return error
    return None


@given(st.text(max_size=30) | st.text(alphabet='ab{}[],= 1.-"\\', max_size=30))
def test_any_text_is_parsed_or_refused(text):
    error = error_of(lambda: parse_inline(text))
    assert error is None or (error.place and error.place.column)


@given(plain)
def test_any_value_is_taken_or_refused(value):
    for name in ("places", "epochs", "limit", "inner", "table", "pair", "many"):
        error = error_of(lambda name=name: build(Options, {name: value}, what="pass 'demo'"))
        assert error is None or name in error.message


def test_inline_text():
    parsed = parse_inline('find-exits, train-exits{epochs=3, rate=1e-3, places=[layer1.2,"a b"],deep={x=[none,true]},}')
    assert parsed == [
        ("find-exits", {}),
        ("train-exits", {"epochs": 3, "rate": 1e-3, "places": ["layer1.2", "a b"], "deep": {"x": [None, True]}}),
    ]


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("a{", 3, "expected the name of an option, found the end"),
        ("a b", 3, "expected ',', found 'b'"),
        ("a{x=1,x=2}", 7, "option 'x' is given twice"),
        ("a{x=}", 5, "expected a value, found '}'"),
        ("a(", 2, "unexpected character '('"),
    ],
)
def test_inline_text_is_refused_with_the_column(text, column, message):
    with pytest.raises(UserError, match=r".*") as caught:
        parse_inline(text)
    assert caught.value.message == message
    assert caught.value.place == Place("-p", 1, column, excerpt=text)
