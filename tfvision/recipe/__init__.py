"""What a config means for a data set: data opened, split, read, sampled; model and losses."""
