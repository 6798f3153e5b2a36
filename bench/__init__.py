"""Measured comparisons, each runnable alone; `results/` holds what was seen, and where."""
