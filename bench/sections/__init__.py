"""What a config may say: its sections and their keys."""
