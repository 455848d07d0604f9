"""Tests of `tfvision.data.files`, a file for each of its modules."""
