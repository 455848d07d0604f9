"""All that only segmentation needs."""
