"""nn.max_pool."""

from __future__ import annotations

import numpy as np

from eennc.ir.fields import flag, ints, tensor
from eennc.ir.op import Case, Op, op
from eennc.ir.types import Array, TensorType
from eennc.ir.windows import Windows, canonical, feature_map, spatial_shape


@op("nn.max_pool")
class MaxPool(Op):
    """Largest value in each window. ONNX `MaxPool`.

    pads: begins, then ends; `()` for strides, pads, dilations means all ones, zeros, ones.
    """

    x = tensor()
    kernel = ints(minimum=1)
    strides = ints((), minimum=1)
    pads = ints((), minimum=0)
    dilations = ints((), minimum=1)
    ceil = flag(False)

    def normalise(self) -> None:
        """One meaning, one form."""
        self.attrs["strides"] = canonical(self.strides, 1)
        self.attrs["pads"] = canonical(self.pads, 0)
        self.attrs["dilations"] = canonical(self.dilations, 1)

    def windows(self) -> Windows:
        """The geometry."""
        spatial = spatial_shape(self, self.x.type, "x")
        return Windows(self, spatial, self.kernel, self.strides, self.pads, self.dilations, ceil=self.ceil)

    def infer(self) -> TensorType:
        """[n, c, spatial...]."""
        output = self.windows().output
        return feature_map(self.x.type, self.x.type.shape[1], output)

    def evaluate(self, x: Array) -> Array:
        """The maximum; padding never wins."""
        windows = self.windows()
        views = windows.views(windows.padded(x, -np.inf))
        return np.ascontiguousarray(views.max(axis=tuple(range(-len(windows.spatial), 0))))

    @classmethod
    def cases(cls) -> list[Case]:
        """Strides, pads, ceil mode; 1-D and 2-D."""
        image, signal = TensorType(("N", 3, 7, 6)), TensorType(("N", 2, 11))
        return [
            Case("plain", (image,), {"kernel": (2, 2), "strides": (2, 2)}),
            Case("padded", (image,), {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)}),
            Case("ceil", (image,), {"kernel": (3, 2), "strides": (3, 4), "ceil": True}),
            Case("ceil-padded", (image,), {"kernel": (2, 2), "strides": (3, 3), "pads": (1, 0, 1, 1), "ceil": True}),
            Case("dilated", (image,), {"kernel": (2, 3), "dilations": (3, 2)}),
            Case("signal", (signal,), {"kernel": (3,), "strides": (2,), "pads": (1, 0)}),
        ]
