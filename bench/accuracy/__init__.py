"""Accuracy of a pass over a dataset."""
