"""The task segmentation: all that no other task needs, and nothing else."""
