"""Tests of `tfvision.studies.ensemble`, a file for each of its modules."""
