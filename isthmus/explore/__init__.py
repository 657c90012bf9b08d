"""A page where one sees what a model knows: a small server on the loopback address, and plain JavaScript."""
