"""The machine while it measures: what is read of GPU and CPU, when, and what becomes of the readings."""
