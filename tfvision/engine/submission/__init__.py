"""Submission files: their layouts, writing them as predictions come, checking them."""
