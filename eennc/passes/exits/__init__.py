"""Exits: where they may stand, their heads, their training, their thresholds, and the segments between them."""
