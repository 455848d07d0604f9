"""Tests of `tfvision.studies.study`, a file for each of its modules."""
