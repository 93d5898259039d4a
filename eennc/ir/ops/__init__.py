"""The ops, one file each. A file here is found by its being here; nothing lists it."""
