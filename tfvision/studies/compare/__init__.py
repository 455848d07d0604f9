"""Paired tests between finished runs."""
