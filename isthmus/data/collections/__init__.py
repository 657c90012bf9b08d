"""Image collections: folders, files and arrays, listed, read on all cores, and stacked into one array."""
