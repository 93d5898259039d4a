"""A typed door to LiteRT."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from eennc.ir.types import Array
from eennc.support.diagnostics import Place, UserError


class LiteSession:
    """A .tflite file loaded by LiteRT, for one sample at a time.

    `threads` 0 leaves the number to LiteRT. `reference`: its slow kernels, which are exact in int8, instead of XNNPACK.
    Raises UserError where LiteRT refuses the file.
    """

    def __init__(self, model: Path | bytes, *, threads: int = 0, reference: bool = False) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        content = model.read_bytes() if isinstance(model, Path) else model
        resolver = OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO
        try:
            self._interpreter: Any = Interpreter(
                model_content=content, experimental_op_resolver_type=resolver, num_threads=threads or None
            )
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            place = Place(str(model)) if isinstance(model, Path) else None
            raise UserError(f"LiteRT cannot load the model: {error}", place=place) from None
        (self._input,) = self._interpreter.get_input_details()
        signature = self._interpreter.get_signature_list()["serving_default"]["outputs"]
        runner = self._interpreter.get_signature_runner("serving_default")
        details = runner.get_output_details()
        self.outputs = [name for name in ("scores", "exit") if name in signature]
        self._indices = [details[name]["index"] for name in self.outputs]
        self._scores = details["scores"]

    def run(self, x: Array) -> list[Array]:
        """Scores float32 [1, classes] and, where the model has exits, exit int32 [1], for one sample [1, ...].

        Floats for a model in integers are quantised, and its scores dequantised, by its own scales.
        """
        self._interpreter.set_tensor(self._input["index"], self._taken(x))
        self._interpreter.invoke()
        found: list[Array] = [self._interpreter.get_tensor(index) for index in self._indices]
        if found[0].dtype == np.int8:
            scale, zero_point = self._scores["quantization"]
            found[0] = (found[0].astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
        return found

    def _taken(self, x: Array) -> Array:
        if self._input["dtype"] != np.int8 or x.dtype == np.int8:
            return x
        scale, zero_point = self._input["quantization"]
        steps = x / np.float32(scale)
        rounded = np.copysign(np.floor(np.abs(steps) + np.float32(0.5)), steps)
        return np.clip(rounded + zero_point, -128, 127).astype(np.int8)
