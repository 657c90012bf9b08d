"""All that a training is between two epochs, in memory and in files."""
