"""The Cortex-M backend: C99 with the early exits inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from eennc.backends.base import Backend, Emitted, backend, check_batch
from eennc.devices import Device, device_named
from eennc.ir.graph import Graph, Module
from eennc.ir.ops.opaque import Opaque
from eennc.ir.rules import Numbers
from eennc.passes.base import Context, Pass
from eennc.passes.exits.form_segments import FormSegments
from eennc.passes.layout.channels_last import ChannelsLast
from eennc.passes.memory.plan_memory import PlanMemory
from eennc.passes.quantise.integer_input import IntegerInput
from eennc.passes.quantise.tabulate_input import TabulateInput
from eennc.passes.target import Target
from eennc.support.diagnostics import UserError


@backend
@dataclass(frozen=True)
class CortexmBackend(Backend):
    """A folder of C99 for microcontrollers, float or int8: the network, only the kernels that it calls, and the exits.

    One sample at a time, no allocation, no state but the caller's. For int8 put calibrate and quantize-int8 among the
    passes. The code is planned for one device, and compiles for every core; `eennc run FOLDER --on qemu` measures it.
    """

    name: ClassVar[str] = "cortexm"
    rules: ClassVar[Mapping[Numbers, Sequence[str]]] = {
        "float": ("max_probability", "margin", "patience", "entropy", "temporal-patience", "class_thresholds"),
        "int8": ("max_probability", "margin", "patience", "temporal-patience", "class_thresholds"),
    }

    device: str = "cortex-m4"
    """What it will run on; `--list devices` shows which there are."""
    flash: int | None = None
    """Bytes there for constants and code; none: the device's."""
    ram: int | None = None
    """Bytes there for the arena; none: the device's."""
    io: Literal["int8", "float"] = "int8"
    """What a quantised network takes and gives: the integers themselves, or floats."""
    prefix: str | None = None
    """What all symbols begin with; none: the model's name."""
    weights_section: str = ""
    """What stands before each array of weights, such as `__attribute__((section(".qspi")))`."""
    arena_section: str = ""
    """What stands behind an arena's declaration."""
    counts: bool = False
    """Whether the code counts the answers of each exit, at each operating point, for `eennc check`; costs 4 bytes each
    in the context."""

    def __post_init__(self) -> None:
        if self.prefix is not None:
            from eennc.backends.cortexm.names import identifier

            if identifier(self.prefix) != self.prefix:
                raise ValueError(
                    f"prefix '{self.prefix}' is no C name in small letters; '{identifier(self.prefix)}' is"
                )

    def passes(self) -> tuple[Pass, ...]:
        """The caller gives integers, unless floats are wanted."""
        entry = (IntegerInput(),) if self.io == "int8" else ()
        return (TabulateInput(), *entry, ChannelsLast(), FormSegments(), PlanMemory())

    def target(self) -> Target:
        """The device with its kernels. Raises UserError for an unknown device."""
        from eennc.backends.cortexm.target import CortexMTarget

        return CortexMTarget(self._device())

    def check(self, module: Module, *, integers: bool) -> None:
        """Raises UserError for a baked batch other than 1, for an operator without a kernel, for shapes beyond the
        kernels' limits, and where constants or tensors cannot fit the device.
        """
        from eennc.backends.cortexm.fit import check_fit
        from eennc.backends.cortexm.form import objection

        check_batch(module)
        module = module.copy()
        TabulateInput().run(module, Context())
        for op in module.ops():
            if not op.name.startswith("ee.") and (found := objection(op)):
                name = f"ONNX {op.op_type}" if isinstance(op, Opaque) else op.name
                raise UserError(f"the cortexm backend cannot write {name} ({op.origin}): {found}")
        check_fit(module, self._device(), self.target())

    def emit(self, module: Module, base: Graph, folder: Path) -> Emitted:
        """Write the folder. Raises as `check` does."""
        from eennc.backends.cortexm.emission import Choices, write_folder
        from eennc.backends.cortexm.fit import check_plan_fits
        from eennc.passes.memory.check import check_plan
        from eennc.passes.memory.plan_memory import plan_memory

        target = self.target()
        plan = plan_memory(module, target)
        check_plan(module, target)
        check_plan_fits(module, plan, self._device())
        spec = write_folder(
            module,
            plan,
            target,
            Choices(
                self._device(),
                self.prefix,
                self.io == "float",
                self.weights_section,
                self.arena_section,
                self.counts,
            ),
            folder,
        )
        return Emitted("model.c", None, 1, spec)

    def _device(self) -> Device:
        found = device_named(self.device)
        if self.name not in found.backends:
            raise UserError(f"artefacts of the cortexm backend do not run on {found.name}")
        return found.with_memory(flash=self.flash, ram=self.ram)
