"""Tests, a folder for each folder of `tfvision`; what several share stands in `support`."""
