"""Tests of `tfvision.studies`, a file for each of its modules."""
