"""A run's folder as pictures and one HTML page: formats what was measured, and computes nothing."""
