"""Tests of `tfvision.studies.compare`, a file for each of its modules."""
