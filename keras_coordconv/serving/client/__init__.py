"""Client for TensorFlow Serving, and for V2 by REST."""

from keras_coordconv.serving.client.client import ServingClient
from keras_coordconv.serving.client.errors import ServingError

__all__ = ["ServingClient", "ServingError"]
