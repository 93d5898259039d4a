"""The passes. A file here is found by its being here; nothing lists it."""


def register() -> None:
    """Import every pass file and register the passes in it: the entry point `passes` of the group `eennc.plugins`."""
    import eennc.passes
    from eennc.passes.discovery import register_folder

    register_folder(eennc.passes)
