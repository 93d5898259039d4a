"""The devices that eennc knows: one YAML file each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

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


def devices() -> list[Device]:
    """The catalogue, by name. Raises UserError for a file that does not describe a device."""
    found = [_device(path) for path in sorted(Path(__file__).parent.glob("*.yaml"))]
    return sorted(found, key=lambda device: device.name)


def _device(path: Path) -> Device:
    file = read_yaml(path)
    return build(Device, cast("dict[str, object]", file.content), what=f"device file {path.name}", place_of=file.place)
