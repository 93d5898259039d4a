"""Backends, one folder each: they write a segmented module as an artefact."""


def register() -> None:
    """Import every backend and register it: the entry point `backends` of the group `eennc.plugins`."""
    import eennc.backends
    from eennc.support.registry import import_folder

    import_folder(eennc.backends)
