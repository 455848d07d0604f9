"""Which sample goes to training, validation, test or a fold."""
