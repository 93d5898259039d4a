"""Streams samples through C artefacts on boards that QEMU emulates, and measures them there."""
