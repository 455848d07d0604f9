"""Configs by seeds by folds: all of them trained (`ladder`), or raced (`search`)."""
