"""`--list` and `--explain`."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from eennc.backends.base import BACKENDS
from eennc.cli.units import columns
from eennc.devices import devices
from eennc.ir.rules import FORMS
from eennc.passes.base import PASSES
from eennc.passes.pipeline import GROUPS, PRESET
from eennc.support.diagnostics import unknown
from eennc.support.options import describe


def listing(what: str) -> str:
    """The passes, ops, backends, devices or exit rules there are."""
    makers = {"passes": _passes, "ops": _ops, "backends": _backends, "devices": _devices, "rules": rules}
    rows = makers[what]()
    return "\n".join(line.removeprefix("  ") for line in columns(rows, left=9)) + "\n"


def explain(name: str) -> str:
    """What a pass, a group of passes or a backend does, and its options. Raises UserError for an unknown name."""
    if name in GROUPS:
        lines = [name, "", f"Stands for: {', '.join(GROUPS[name])}"]
        rows = [[member, _first(PASSES.get(member).__doc__)] for member in GROUPS[name]]
        return "\n".join([*lines, "", *columns(rows, left=2)]) + "\n"
    if name not in PASSES and name not in BACKENDS:
        raise unknown("pass", name, [*PASSES, *GROUPS, *BACKENDS])
    cls = PASSES.get(name) if name in PASSES else BACKENDS.get(name)
    lines = [name, "", inspect.cleandoc(cls.__doc__ or "(no documentation)"), ""]
    for title in ("requires", "ensures", "invalidates"):
        facts: frozenset[str] = getattr(cls, title, frozenset())
        if facts:
            lines.append(f"{title}: {', '.join(sorted(facts))}")
    options = describe(cls)
    lines += ["", "options:" if options else "It has no options."]
    for option in options:
        default = "must be given" if option.default_text is None else f"default {option.default_text}"
        lines.append(f"  {option.name}: {option.type_text}; {default}")
        lines += [f"      {line}" for line in option.doc.splitlines()]
    return "\n".join(lines) + "\n"


def _passes() -> list[list[str]]:
    default = {member for name, _ in PRESET for member in GROUPS.get(name, (name,))}
    rows = [["pass", "preset", "what it does"]]
    for name in PASSES:
        rows.append([name, "yes" if name in default else "", _first(PASSES.get(name).__doc__)])
    rows += [[group, "yes", f"stands for {', '.join(members)}"] for group, members in GROUPS.items()]
    return rows


def _ops() -> list[list[str]]:
    import eennc.ir.ops
    from eennc.backends.cortexm import form as c
    from eennc.interop.onnx import registry as onnx
    from eennc.interop.tflite import registry as tflite
    from eennc.ir.op import OPS
    from eennc.passes.quantise.conversion import CONVERSIONS
    from eennc.support.registry import import_folder

    import_folder(eennc.ir.ops)
    onnx.load_forms()
    tflite.load_forms()
    c.load_forms()
    # a form's file is called after its op and holds both directions
    homes: dict[str, list[str]] = {}
    for operator in onnx.READINGS:
        homes.setdefault(onnx.READINGS.get(operator).__module__, []).append(operator)
    rows = [["op", "read from ONNX", "to ONNX", "to TFLite", "to C", "to int8", "what it is"]]
    for name in OPS:
        cls = OPS.get(name)
        stem = cls.__module__.rpartition(".")[2]
        read = [op for home, found in homes.items() if home.rpartition(".")[2] == stem for op in found]
        ways = (name in onnx.WRITINGS, name in tflite.WRITINGS, name in c.FORMS, cls in CONVERSIONS)
        rows.append([name, _joined(read), *("yes" if way else "" for way in ways), _first(cls.__doc__)])
    return rows


def _backends() -> list[list[str]]:
    rows = [["backend", "options", "what it writes"]]
    for name in BACKENDS:
        cls = BACKENDS.get(name)
        rows.append([name, ", ".join(option.name for option in describe(cls)), _first(cls.__doc__)])
    return rows


def _devices() -> list[list[str]]:
    rows = [["device", "backends", "what it is"]]
    rows += [[device.name, ", ".join(device.backends), device.description] for device in devices()]
    return rows


def rules() -> list[list[str]]:
    """The exits' rules, and in which numbers each backend writes them: rows of cells, the first a heading."""
    rows = [["rule", *BACKENDS]]
    for form in FORMS["float"]:
        found = [[numbers for numbers in FORMS if form in BACKENDS.get(name).rules[numbers]] for name in BACKENDS]
        rows.append([form, *(", ".join(numbers) or "no" for numbers in found)])
    return rows


def _joined(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _first(doc: str | None) -> str:
    """The first sentence."""
    paragraph = " ".join(inspect.cleandoc(doc or "").partition("\n\n")[0].split())
    sentence, stop, _ = paragraph.partition(". ")
    return sentence + "." if stop else paragraph
