"""Looking at a data set and writing another one of it: audit, cleaned copy, background removal."""
