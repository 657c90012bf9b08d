"""Results of a run: rows, their cache, verdicts, figures' arrays and results.json."""
