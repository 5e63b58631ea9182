"""A2C and the environments it plays in."""
