"""What the scripts in `examples/` are made of."""
