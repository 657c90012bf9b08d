"""How unusual images are for a model."""
