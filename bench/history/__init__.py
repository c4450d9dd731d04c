"""What many runs say together: series, their index, change points, the golden run, acknowledged changes."""
