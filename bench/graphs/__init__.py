"""A TensorFlow graph out of what users have: SavedModels, Keras architectures."""
