"""Tests of `tfvision.augment`, a file for each of its modules."""
