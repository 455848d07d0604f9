"""Tests of `tfvision.data.scan`, a file for each of its modules."""
