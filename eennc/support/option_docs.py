"""The docs of a dataclass' fields: the string literal below each."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from typing import Any


def field_docs(cls: type[Any]) -> dict[str, str]:
    """Field name to doc, base classes included; empty for a class whose source is not there."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError, SyntaxError):
            continue
        body: list[ast.stmt] = next(
            (node.body for node in tree.body if isinstance(node, ast.ClassDef)), list[ast.stmt]()
        )
        for declared, below in itertools.pairwise(body):
            if (
                isinstance(declared, ast.AnnAssign)
                and isinstance(declared.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
                and isinstance(below.value.value, str)
            ):
                docs[declared.target.id] = inspect.cleandoc(below.value.value)
    return docs
