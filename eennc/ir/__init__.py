"""The graph IR: types, values, ops, graphs, modules; verifier, text format, interpreter."""
