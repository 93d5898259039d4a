"""Training of heads on cached features: numpy arrays in, numpy weights out, no IR rewriting."""
