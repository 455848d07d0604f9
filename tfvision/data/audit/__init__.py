"""The look at a data set for what spoils scores: doubles, leaks, masks of another image."""
