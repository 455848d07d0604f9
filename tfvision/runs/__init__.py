"""One run: train, finish, load, evaluate, predict, export, submit. No module asks which task."""
