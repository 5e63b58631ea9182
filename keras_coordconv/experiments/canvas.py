"""What the data sets, the models and the figures of the paper share."""

# Pixels of an image, high and wide.
CANVAS_SIZE = 64
