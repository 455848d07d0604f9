"""Tests of `tfvision.models`, a file for each of its modules."""
