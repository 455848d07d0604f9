"""Many runs: folds, ladders, comparisons, ensembles, and what is fitted out of fold."""
