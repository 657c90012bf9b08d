"""The images that commands are given: read, passed through a model, and known again if it was trained on them."""
