"""Detect, crop, classify: a detector and a classifier trained apart, used as one run."""
