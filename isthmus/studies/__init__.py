"""A study: a TOML file that says what to train and what to measure, and the results."""
