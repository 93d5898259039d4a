"""Compares what two modules compute, in the interpreter."""

import numpy as np

from eennc.ir.graph import Module
from eennc.ir.interpreter import run_graph
from eennc.ir.printer import print_module
from eennc.ir.types import Array
from eennc.passes.base import Context, Pass


def inputs_for(module: Module, *, batch: int = 2, seed: int = 0) -> list[Array]:
    random = np.random.default_rng(seed)
    arrays = []
    for argument in module.main.arguments:
        type = argument.type
        array = random.normal(size=type.concrete(batch))
        arrays.append(array.astype(type.dtype.numpy))
    return arrays


def outputs(module: Module, *, seed: int = 0, opaque=None) -> tuple[Array, ...]:
    return run_graph(module, module.main, inputs_for(module, seed=seed), opaque=opaque)


def assert_same(found, expected, tolerance: float = 1e-5) -> None:
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        scale = max(float(np.abs(b).max(initial=0)), 1e-6)
        assert np.abs(a - b).max(initial=0) <= tolerance * scale


def text_of(module: Module) -> str:
    """The module with its notes and the contents of its weights."""
    weights = "".join(f"{weight.name}={weight.digest}\n" for weight in module.weights())
    return print_module(module) + weights


def run_honestly(p: Pass, module: Module, ctx: Context | None = None) -> bool:
    """Run a pass and check that its changed flag tells the truth, and that a second run changes nothing."""
    ctx = ctx or Context()
    before = text_of(module)
    changed = p.run(module, ctx)
    after = text_of(module)
    assert changed == (before != after), f"{p.name} says changed = {changed}"
    assert not p.run(module, ctx), f"{p.name} is not idempotent"
    assert text_of(module) == after
    return changed
