"""Tests of `tfvision.engine`, a file for each of its modules."""
