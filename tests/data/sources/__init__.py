"""Tests of `tfvision.data.sources`, a file for each of its modules."""
