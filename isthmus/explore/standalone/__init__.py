"""The page of `isthmus explore` as one file, which answers its questions by itself."""
