"""Offsets for buffers, so that those needed at the same time do not overlap."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence

from eennc.passes.memory.lifetimes import Buffer

FEW = 5
"""Buffers of which all orders are tried."""
TRIES = 200
"""Orders that are tried beyond the usual ones."""


def place(buffers: Sequence[Buffer], bound: int) -> tuple[list[int], int]:
    """An offset for each buffer, and the bytes that all need: each in turn takes the lowest place that is free while it
    lives. Several orders are tried, until one needs no more than `bound`; the same input gives the same answer.
    """
    numbers = list(range(len(buffers)))
    orders: list[Callable[[int], tuple[int, ...]]] = [
        lambda n: (-buffers[n].size, buffers[n].first),
        lambda n: (buffers[n].first, -buffers[n].size),
        lambda n: (-(buffers[n].last - buffers[n].first), -buffers[n].size),
        lambda n: (-buffers[n].size * (buffers[n].last - buffers[n].first + 1), buffers[n].first),
    ]
    tried = [sorted(numbers, key=key) for key in orders]
    if len(numbers) <= FEW:
        # in the order of the best plan's offsets each takes its place there, or a lower one
        tried += map(list, itertools.permutations(numbers))
    (offsets, top), order = min(((_first_fit(buffers, order), order) for order in tried), key=lambda found: found[0][1])
    rng = random.Random(0)
    for _ in range(TRIES):
        if top <= bound:
            break
        changed = list(order)
        # what reached highest goes earlier or later
        highest = max(changed, key=[at + buffer.size for at, buffer in zip(offsets, buffers, strict=True)].__getitem__)
        changed.remove(highest)
        changed.insert(rng.randrange(len(changed) + 1), highest)
        a, b = rng.randrange(len(changed)), rng.randrange(len(changed))
        changed[a], changed[b] = changed[b], changed[a]
        found = _first_fit(buffers, changed)
        if found[1] <= top:
            (offsets, top), order = found, changed
    return offsets, top


def _first_fit(buffers: Sequence[Buffer], order: Sequence[int]) -> tuple[list[int], int]:
    offsets = [0] * len(buffers)
    placed: list[int] = []
    top = 0
    for number in order:
        mine = buffers[number]
        taken = sorted(
            (offsets[other], offsets[other] + buffers[other].size)
            for other in placed
            if buffers[other].first <= mine.last and mine.first <= buffers[other].last
        )
        at = 0
        for start, end in taken:
            if at + mine.size <= start:
                break
            at = max(at, end)
        offsets[number] = at
        top = max(top, at + mine.size)
        placed.append(number)
    return offsets, top
