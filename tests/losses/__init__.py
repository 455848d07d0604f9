"""Tests of `tfvision.losses`, a file for each of its modules."""
