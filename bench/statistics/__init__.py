"""What samples come to: percentiles, intervals, comparisons of variants and processes."""
