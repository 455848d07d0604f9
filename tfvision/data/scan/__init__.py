"""What is in a data set: reading every sample once, checks, classes, duplicates."""
