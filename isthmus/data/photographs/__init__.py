"""Photographs of any sizes: read, cached on disk, and cut into crops to train on."""
