"""Tests of `tfvision.tasks.segmentation`, a file for each of its modules."""
