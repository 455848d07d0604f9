"""Builders of sources: one file a layout."""
