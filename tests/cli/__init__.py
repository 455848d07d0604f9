"""Tests of `tfvision.cli`, a file for each of its modules."""
