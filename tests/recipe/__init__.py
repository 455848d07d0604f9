"""Tests of `tfvision.recipe`, a file for each of its modules."""
