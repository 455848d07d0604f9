"""Statistics of scores: bootstrap, intervals, races, seeds. NumPy and SciPy only."""
