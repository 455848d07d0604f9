"""Tests of `tfvision.data.crops`, a file for each of its modules."""
