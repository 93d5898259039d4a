"""Data sets: the three splits, where they come from, and the cache of what was computed from them."""
