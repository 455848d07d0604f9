"""Tests of `tfvision.postprocess`, a file for each of its modules."""
