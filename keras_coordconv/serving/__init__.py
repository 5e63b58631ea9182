"""Export of trained models for TensorFlow Serving."""

from keras_coordconv.serving.export import export_for_serving

__all__ = ["export_for_serving"]
