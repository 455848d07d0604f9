"""The task classification: all that no other task needs, and nothing else."""
