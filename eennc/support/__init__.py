"""What every layer needs: diagnostics, registries, typed options, atomic files, instruments."""
