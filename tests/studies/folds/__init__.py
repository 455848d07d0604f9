"""Tests of `tfvision.studies.folds`, a file for each of its modules."""
