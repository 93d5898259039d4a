import pytest

from eennc.cli.units import columns, count, microseconds, percent, points


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (940, "940"),
        (999.7, "1.00 k"),
        (12_345, "12.35 k"),
        (940_000, "940 k"),
        (2_660_000, "2.66 M"),
        (4e9, "4.00 G"),
    ],
)
def test_counts(value, text):
    assert count(value) == text


def test_shares_and_times():
    assert (percent(0.6123), percent(None)) == ("61.2 %", "-")
    assert (points(0.0123), points(-0.0), points(-0.004)) == ("1.23", "0.00", "-0.40")
    assert (microseconds(45.4), microseconds(1200), microseconds(None)) == ("45 us", "1.20 ms", "-")


def test_columns_line_up():
    assert columns([["a", "long", "b"], ["", "x", "cc"], ["only"]], left=1) == [
        "  a      long    b",
        "            x   cc",
        "  only",
    ]
