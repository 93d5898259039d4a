"""What passes may ask about the device that a network is compiled for. The driver takes it from the backend."""

from __future__ import annotations

from typing import Protocol

from eennc.ir.op import Op


class Target(Protocol):
    """A device with the kernels that a backend has for it."""

    @property
    def alignment(self) -> int:
        """Bytes that every tensor's address is a multiple of."""
        ...

    def view(self, op: Op) -> bool:
        """Whether the result is the first operand's bytes, so that nothing is computed."""
        ...

    def in_place(self, op: Op) -> tuple[int, ...]:
        """Operands whose memory the result may take: it starts where the operand starts, and is not larger."""
        ...

    def instructions(self, op: Op) -> float | None:
        """How many instructions the op is predicted to execute for one sample, None where nothing is known of it."""
        ...

    def scratch(self, op: Op) -> int:
        """Bytes that the kernel needs while it runs."""
        ...
