"""What the pools share."""

from __future__ import annotations

from eennc.ir.fields import flag, ints, tensor
from eennc.ir.op import Op
from eennc.ir.types import TensorType
from eennc.ir.windows import Windows, canonical, channels_of, feature_map, spatial_shape


class Pool(Op):
    """Windows over the spatial axes of a feature map, each channel by itself.

    pads: begins, then ends; `()` for strides, pads, dilations means all ones, zeros, ones. ceil: windows that reach
    beyond the end count too, as ONNX says.
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
        """The same channels, fewer places."""
        windows = self.windows()
        if windows.blind:
            raise self.fail("a window lies in the padding alone")
        return feature_map(self.x.type, channels_of(self.x.type), windows.output)
