"""What a network that came quantised says of its own: steps of activations, scales of weights."""

from __future__ import annotations

GIVEN_SCALES = "weight_scales"
"""The note of a convolution or dense op with the scales of its weight, one per output or one: quantisation takes them
over."""
