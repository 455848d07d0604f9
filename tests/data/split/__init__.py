"""Tests of `tfvision.data.split`, a file for each of its modules."""
