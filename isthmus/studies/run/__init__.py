"""How a study runs: models are scheduled, fitted and measured, here or by a pool of worker processes."""
