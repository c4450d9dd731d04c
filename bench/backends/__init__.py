"""Backends: what turns a model and an optimization into a session. `base` is the seam."""
