"""Paired tests between runs that are there."""
