"""CSV files that list samples: labels, masks, run lengths."""
