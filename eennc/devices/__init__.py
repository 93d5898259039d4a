"""The devices that eennc knows: one YAML file each."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from eennc.support.diagnostics import unknown
from eennc.support.options import build
from eennc.support.yaml_file import read_yaml


@dataclass(frozen=True)
class Device:
    """Something that artefacts run on."""

    name: str
    """How it is called."""
    description: str
    """What it is."""
    backends: tuple[str, ...]
    """Backends whose artefacts run there."""
    core: str | None = None
    """Processor core, by the name that compilers and the QEMU runner know; none: the host's own."""
    extension: Literal["none", "dsp", "helium"] = "none"
    """Which variant of the kernels it runs."""
    flash: int | None = None
    """Bytes for code and constants; none: not limited."""
    ram: int | None = None
    """Bytes of memory; none: not limited."""

    @property
    def vectors(self) -> bool:
        """Whether it has Helium."""
        return self.extension == "helium"

    def with_memory(self, *, flash: int | None, ram: int | None) -> Device:
        """The same with other memories; None keeps its own."""
        return dataclasses.replace(
            self, flash=self.flash if flash is None else flash, ram=self.ram if ram is None else ram
        )


def devices() -> list[Device]:
    """The catalogue, by name. Raises UserError for a file that does not describe a device."""
    found = [_device(path) for path in sorted(Path(__file__).parent.glob("*.yaml"))]
    return sorted(found, key=lambda device: device.name)


def device_named(name: str) -> Device:
    """A device of the catalogue; raises UserError with a did-you-mean."""
    found = {device.name: device for device in devices()}
    if name not in found:
        raise unknown("device", name, found)
    return found[name]


def _device(path: Path) -> Device:
    file = read_yaml(path)
    return build(Device, cast("dict[str, object]", file.content), what=f"device file {path.name}", place_of=file.place)
