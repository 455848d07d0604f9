"""What a task is (`facts`, `task`), and a folder for each that implements it."""
