"""The attribute by which an op that moves numbers about says how its result's axes are to be read."""

from __future__ import annotations

from eennc.ir.fields import AttrField, choice
from eennc.ir.types import Layout


def layout_field() -> AttrField[str]:
    """The attribute `layout`: none (channels-first where it matters), or nhwc."""
    return choice("none", Layout.CHANNELS_LAST.value, default="none")


def layout_named(name: str) -> Layout | None:
    """The layout that the attribute names."""
    return None if name == "none" else Layout(name)
