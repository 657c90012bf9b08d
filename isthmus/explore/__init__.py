"""The page of `isthmus explore`: a small server on the loopback address, and plain JavaScript."""
