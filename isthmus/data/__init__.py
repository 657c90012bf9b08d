"""Images: read from files, collections and named sources, prepared, cut into patches, split and batched."""
