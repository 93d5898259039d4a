"""channels-last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from eennc.ir.graph import Module
from eennc.ir.quantised import computes_in_integers
from eennc.ir.types import Layout
from eennc.passes.base import Context, Pass
from eennc.passes.layout.rewriting import Rewriting


@dataclass(frozen=True)
class ChannelsLast(Pass):
    """Bring all feature maps into the layout [N, height, width, channels], which TensorFlow Lite and int8 kernels want.

    Signals [N, channels, time] become maps of height 1. Dense weights behind a flattened map follow the new order, so
    that no transpose is left between convolutions and classifier; one is left at an input of several channels that come
    first. What cannot be carried over stays channels-first between transposes.

    Before:
        argument %x : tensor<Nx1x4x4xf32>
        weight @a : tensor<2x1x3x3xf32>
        %0 = nn.conv %x, @a {activation = relu} : tensor<Nx2x2x2xf32>
        %1 = nn.flatten %0 : tensor<Nx8xf32>
        %2 = nn.dense %1, @b : tensor<Nx3xf32>
    After:
        weight @c : tensor<3x8xf32>
        %0 = nn.reshape %x {shape = [-1, 4, 4, 1], layout = nhwc} : tensor<Nx4x4x1xf32, nhwc>
        %1 = nn.conv %0, @a {activation = relu} : tensor<Nx2x2x2xf32, nhwc>
        %2 = nn.reshape %1 {shape = [-1, 8]} : tensor<Nx8xf32>
        %3 = nn.dense %2, @c : tensor<Nx3xf32>
    """

    ensures: ClassVar[frozenset[str]] = frozenset({"channels-last"})
    invalidates: ClassVar[frozenset[str]] = frozenset({"costs"})

    networks: Literal["all", "quantised"] = "all"
    """Which networks: of floats too, or of integers alone."""

    def run(self, module: Module, ctx: Context) -> bool:
        """Changed unless there is no feature map, or all have the layout."""
        main = module.main
        if self.networks == "quantised" and not computes_in_integers(main.ops):
            return False
        values = [*main.arguments, *(result for op in main.ops for result in op.results)]
        if any(value.type.layout is Layout.CHANNELS_LAST for value in values):
            return False
        return Rewriting(module).run()
