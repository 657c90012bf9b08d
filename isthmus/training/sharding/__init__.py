"""One fit over several processes: each batch in shards, whose gradients are added up in a fixed tree."""
