"""One module for each kind of image file: its pages read as they are stored, and written again."""
