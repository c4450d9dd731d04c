"""A run held against another, against the golden one, or against the history."""
