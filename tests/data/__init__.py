"""Tests of `tfvision.data`, a file for each of its modules."""
