"""What a run is about: a study with its images, the work for each model, and the facts that decide it."""
