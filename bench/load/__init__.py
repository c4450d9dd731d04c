"""Load on a session: queries as MLCommons LoadGen issues them."""
