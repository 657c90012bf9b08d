"""Formats of image files, a module each: pages read as they are stored, and written."""
