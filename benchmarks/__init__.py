"""Ratios measured side by side in one run. `python -m benchmarks` is the table in README."""
