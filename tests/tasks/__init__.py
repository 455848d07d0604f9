"""Tests of `tfvision.tasks`, a file for each of its modules."""
