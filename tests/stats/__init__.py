"""Tests of `tfvision.stats`, a file for each of its modules."""
