"""Tests of `tfvision.runs`, a file for each of its modules."""
