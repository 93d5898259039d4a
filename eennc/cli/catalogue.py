"""--list and --explain."""

from __future__ import annotations

import inspect

from eennc.support.diagnostics import unknown
from eennc.support.options import describe


def listed(kind: str) -> str:
    """One line a thing."""
    if kind == "ops":
        return _ops()
    if kind == "devices":
        from eennc.devices import catalogue

        rows = [
            (device.name, f"{device.description} (backends: {', '.join(device.backends)})") for device in catalogue()
        ]
    elif kind == "backends":
        from eennc.backends.base import BACKENDS

        rows = [(name, _first_sentence(BACKENDS.get(name))) for name in BACKENDS]
    else:
        from eennc.passes.base import PASSES
        from eennc.passes.pipeline import GROUPS

        rows = [(name, _first_sentence(PASSES.get(name))) for name in PASSES]
        rows += [(name, f"stands for {', '.join(members)}") for name, members in GROUPS.items()]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {text}" for name, text in rows)


def _ops() -> str:
    """Ops by the formats that have a form of them."""
    import eennc.ir.parser  # noqa: F401  # imports all ops
    from eennc.interop.onnx.registry import READINGS, WRITINGS, load_forms
    from eennc.ir.op import OPS

    load_forms()
    read: dict[str, list[str]] = {}
    for op_type in READINGS:
        made = READINGS.get(op_type).__module__.rpartition(".")[2]
        read.setdefault(made, []).append(op_type)
    rows = [("op", "read from ONNX", "written to ONNX", "")]
    for name in OPS:
        module = OPS.get(name).__module__.rpartition(".")[2]
        rows.append(
            (
                name,
                ", ".join(read.get(module, [])) or "-",
                "yes" if name in WRITINGS else "-",
                _first_sentence(OPS.get(name)),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join("  ".join([*(row[c].ljust(widths[c]) for c in range(3)), row[3]]).rstrip() for row in rows)


def _first_sentence(thing: type) -> str:
    text = " ".join(inspect.cleandoc(thing.__doc__ or "").split("\n\n")[0].split())
    return text.partition(". ")[0].rstrip(".:")


def explain(name: str) -> str:
    """What a pass, a group or a backend does, its options with types and defaults."""
    from eennc.backends.base import BACKENDS
    from eennc.passes.base import PASSES
    from eennc.passes.pipeline import GROUPS

    if name in GROUPS:
        return f"{name} stands for: {', '.join(GROUPS[name])}"
    if name not in PASSES and name not in BACKENDS:
        raise unknown("pass", name, [*PASSES, *GROUPS, *BACKENDS])
    cls = PASSES.get(name) if name in PASSES else BACKENDS.get(name)
    lines = [name, "", inspect.cleandoc(cls.__doc__ or "")]
    options = describe(cls)
    lines += ["", "options:" if options else "no options"]
    for option in options:
        default = "must be given" if option.default_text is None else f"default {option.default_text}"
        lines.append(f"  {option.name}: {option.type_text} ({default})")
        lines += [f"      {line}" for line in option.doc.splitlines()]
    for fact in ("requires", "ensures", "invalidates"):
        found = sorted(getattr(cls, fact, ()))
        if found:
            lines.append(f"{fact}: {', '.join(found)}")
    return "\n".join(lines)
