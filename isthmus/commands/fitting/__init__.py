"""What `isthmus fit` is made of: defaults, hold-out, continuation, baselines, and the training run."""
