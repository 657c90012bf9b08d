"""What a notebook shows of models, data and results."""
