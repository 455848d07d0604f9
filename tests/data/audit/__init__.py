"""Tests of `tfvision.data.audit`, a file for each of its modules."""
