"""What the passes ask about the kernels."""

from __future__ import annotations

from eennc.backends.cortexm.form import Form, form_of
from eennc.backends.cortexm.prediction import instructions_of
from eennc.devices import Device
from eennc.ir.op import Op
from eennc.ir.ops.exit import Exit
from eennc.ir.ops.q_conv import QConv

ALIGNMENT = 4


class CortexMTarget:
    """The kernels on a device."""

    def __init__(self, device: Device) -> None:
        self.device = device

    @property
    def alignment(self) -> int:
        """Words, so that floats may lie anywhere."""
        return ALIGNMENT

    def _form(self, op: Op) -> Form | None:
        return None if isinstance(op, Exit) else form_of(op)

    def view(self, op: Op) -> bool:
        """Where there is no kernel to call."""
        form = self._form(op)
        return form is not None and form.view

    def in_place(self, op: Op) -> tuple[int, ...]:
        """As the form says; Helium's depthwise convolution takes all channels at once, and cannot."""
        if self.device.vectors and isinstance(op, QConv) and op.depthwise:
            return ()
        form = self._form(op)
        return () if form is None else form.in_place()

    def instructions(self, op: Op) -> float | None:
        """By the kernels' measured rates; views compute nothing."""
        return 0.0 if self.view(op) else instructions_of(op, self.device)

    def scratch(self, op: Op) -> int:
        """The most that any variant of the kernel needs, so that the code runs on other cores too; for a core that has
        none but the plain one the code takes that everywhere.
        """
        form = self._form(op)
        return 0 if form is None or form.view else form.scratch(dsp=self.device.extension != "none")
