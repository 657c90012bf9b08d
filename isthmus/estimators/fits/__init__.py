"""One fit of an autoencoder: what goes into it, and what is doubtful about what comes of it."""
