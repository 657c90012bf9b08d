"""Images and where they come from: readers of files, named sources, splits."""
