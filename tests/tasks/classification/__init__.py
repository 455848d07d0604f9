"""Tests of `tfvision.tasks.classification`, a file for each of its modules."""
