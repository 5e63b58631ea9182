"""Canvas size shared by the data sets, models and figures of the paper."""

# Height and width of an image in pixels.
CANVAS_SIZE = 64
