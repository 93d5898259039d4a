"""Passes that bring a network into one form without changing its meaning."""
