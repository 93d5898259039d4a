"""What an image takes of flash and memory, in all and by whose it is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Bytes. text: code. rodata: constants. data: initialised memory, which takes flash too. bss: cleared memory."""

    text: int = 0
    rodata: int = 0
    data: int = 0
    bss: int = 0

    @property
    def flash(self) -> int:
        """What is taken of the flash."""
        return self.text + self.rodata + self.data

    @property
    def ram(self) -> int:
        """What is taken of the memory, the stack left out."""
        return self.data + self.bss


_KINDS = {
    "text": ("text", "vectors"),
    "rodata": ("rodata", "srodata", "ARM"),
    "data": ("data", "sdata"),
    "bss": ("bss", "sbss"),
}
_NOT_LOADED = ("comment", "debug", "stack", "note", "riscv", "symtab", "strtab", "shstrtab")


def _kind(section: str) -> str | None:
    """Which of the sizes a section counts to, None for what is not loaded. The code may name sections of its own, for
    its weights: these are constants.
    """
    first = section.lstrip(".").split(".")[0]
    if section == "COMMON":
        return "bss"
    if first.startswith(_NOT_LOADED) or section.startswith(".ARM.attributes"):
        return None
    return next((kind for kind, names in _KINDS.items() if first in names), "rodata")


def _sum(sections: Iterable[tuple[str, int]]) -> Sizes:
    sums = dict.fromkeys(_KINDS, 0)
    for section, size in sections:
        kind = _kind(section)
        if kind is not None:
            sums[kind] += size
    return Sizes(**sums)


def sizes_of_image(listing: str) -> Sizes:
    """The sizes of an image from what `size -A` prints of it."""
    return _sum((name, int(size)) for name, size in re.findall(r"^(\.\S+)\s+(\d+)\s+\d+$", listing, re.MULTILINE))


_PIECE = re.compile(r"^ (\.\S+|COMMON)\s+0x[0-9a-f]+\s+0x([0-9a-f]+) (\S.*)$", re.MULTILINE)


def sizes_by_file(link_map: str) -> dict[str, Sizes]:
    """The sizes of what the linker kept of each object and of each member of a library, by the name that the link map
    has for it.
    """
    kept = link_map.partition("Linker script and memory map")[2]
    pieces: dict[str, list[tuple[str, int]]] = {}
    for section, size, file in _PIECE.findall(kept):
        pieces.setdefault(file, []).append((section, int(size, 16)))
    return {file: _sum(sections) for file, sections in pieces.items()}


def total(sizes: Iterable[Sizes]) -> Sizes:
    """Their sum."""
    listed = list(sizes)
    return Sizes(
        sum(s.text for s in listed),
        sum(s.rodata for s in listed),
        sum(s.data for s in listed),
        sum(s.bss for s in listed),
    )
