"""The mathematics of exits: score tables, policies, their evaluation, solvers, statistics. No graphs, no torch."""
