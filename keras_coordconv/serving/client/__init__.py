"""Client for TensorFlow Serving, by REST or gRPC."""

from keras_coordconv.serving.client.client import ServingClient
from keras_coordconv.serving.client.errors import ServingError

__all__ = ["ServingClient", "ServingError"]
