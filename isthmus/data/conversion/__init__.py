"""Conversion of images from wherever they are into a folder of shards."""
