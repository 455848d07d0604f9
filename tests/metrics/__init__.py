"""Tests of `tfvision.metrics`, a file for each of its modules."""
