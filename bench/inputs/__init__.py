"""Batches of arrays out of datasets."""
