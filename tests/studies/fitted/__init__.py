"""Tests of `tfvision.studies.fitted`, a file for each of its modules."""
