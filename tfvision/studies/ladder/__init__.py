"""Configs by seeds by folds, trained alike and compared."""
