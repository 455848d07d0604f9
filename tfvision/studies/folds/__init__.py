"""Cross-validation: assigning samples to folds, training, scores and predictions."""
