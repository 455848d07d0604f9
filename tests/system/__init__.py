"""Tests of `tfvision.system`, a file for each of its modules."""
