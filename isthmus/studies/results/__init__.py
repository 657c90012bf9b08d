"""What a run measures, keeps and tells: rows, their cache, verdicts, figures' arrays and results.json."""
