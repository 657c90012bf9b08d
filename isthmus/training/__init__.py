"""The one loop, what it records, and where it runs."""
