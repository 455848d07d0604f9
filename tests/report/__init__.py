"""Tests of `tfvision.report`, a file for each of its modules."""
