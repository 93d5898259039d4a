"""Devices, one YAML file each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Device:
    """A device that artefacts run on, and the backends that write for it."""

    name: str
    description: str
    backends: tuple[str, ...]


def catalogue() -> list[Device]:
    """The devices that come with eennc, by name."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    found = [entry for entry in files("eennc.devices").iterdir() if entry.name.endswith(".yaml")]
    records = [yaml.load(entry.read_text()) for entry in found]  # pyright: ignore[reportUnknownMemberType]
    devices = [Device(record["name"], record["description"], tuple(record["backends"])) for record in records]
    return sorted(devices, key=lambda device: device.name)
