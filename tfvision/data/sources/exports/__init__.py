"""Exports of annotation tools: one file a format, and what they share."""
