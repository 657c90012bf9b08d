"""Images: read from files, collections and named sources, framed, cut into patches, split and batched."""
