"""The task detection: all that no other task needs, and nothing else."""
