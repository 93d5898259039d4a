"""Runs C artefacts on an emulated core, and counts what they execute."""
