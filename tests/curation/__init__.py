"""Tests of `tfvision.curation`, a file for each of its modules."""
