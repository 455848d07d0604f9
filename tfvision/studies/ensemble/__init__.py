"""Several runs combined into one, and the weights of each."""
