"""`bench doctor`: what this machine can run, and why not the rest. TensorFlow is imported in child processes alone."""
