"""Named data sets: where they come from, fetched and verified."""
