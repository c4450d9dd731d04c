"""Timed loops."""
