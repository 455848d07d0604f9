"""Configs raced over folds."""
