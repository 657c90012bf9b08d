"""Images of commands: read, passed through a model, and checked for having been trained on."""
