"""One recipe a task, each read from top to bottom."""
