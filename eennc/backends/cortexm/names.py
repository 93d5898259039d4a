"""Names of the user's model in C: nothing of them reaches the code as it came."""

from __future__ import annotations

import re

from eennc.ir.op import Op

LONGEST = 24
"""Of a prefix: C99 promises 31 characters of a name, and the kernels' names come behind it."""
_KEYWORDS = """
auto break case char const continue default do double else enum extern float for goto if inline int long register
restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
asm bool true false main eennc
"""
_RESERVED = frozenset(_KEYWORDS.split())


def identifier(name: str) -> str:
    """A C identifier in small letters that reads like `name`; `model` where nothing of it can be used."""
    words = re.sub(r"[^a-z0-9]+", "_", name.lower(), flags=re.ASCII).strip("_")[:LONGEST].strip("_")
    if not words:
        return "model"
    return f"model_{words}" if words in _RESERVED or words[0].isdigit() or words.startswith("eennc") else words


def printable(text: str, longest: int = 60) -> str:
    """`text` as it may stand in a comment: of letters, digits and some signs that mean nothing there."""
    plain = re.sub(r"[^A-Za-z0-9 ._/:+-]+", "?", text, flags=re.ASCII)
    while "//" in plain:
        plain = plain.replace("//", "/")
    return plain if len(plain) <= longest else plain[: longest - 3] + "..."


def comment(op: Op) -> str:
    """An op for a comment: what it is, and the node that it came from."""
    node = f" from {printable(op.origin.node)}" if op.origin.node else ""
    return f"{op.name}{node}"
