"""A2C and its environments."""
