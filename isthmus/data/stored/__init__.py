"""Images that stay on the disk: arrays and folders of shards, of which rows are read when they are needed."""
