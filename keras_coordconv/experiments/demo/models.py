"""The models below a folder, asked as a server is."""

import pathlib

import tensorflow as tf

from keras_coordconv.serving.signatures import read_signatures
from keras_coordconv.serving.versions import versions


class SavedModels:
    """The latest version of each model below a folder, in this process.

    Args:
        folder: Path of a folder with `<name>/<version>/`.

    Raises:
        ValueError: if there is no model.
    """

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        self._paths = {
            path.name: path / str(found[-1])
            for path in folder.glob("*")
            if (found := versions(path))
        }
        if not self._paths:
            raise ValueError(
                "--saved-models must hold <name>/<version>/. "
                f"Received: {folder}. Start in the project's folder, or name "
                "its saved_models/."
            )
        self._loaded = {}

    def status(self, model):
        """Dictionary of the model's versions; empty where there is none."""
        if model not in self._paths:
            return {}
        return {int(self._paths[model].name): "AVAILABLE"}

    def metadata(self, model):
        """The model's signatures, as from `ServingClient.metadata`."""
        return read_signatures(self._paths[model])

    def predict(self, model, inputs, signature="serving_default"):
        """What a model answers, as from `ServingClient.predict`."""
        if model not in self._paths:
            raise ValueError(f"There must be the model. Received: {model}")
        if model not in self._loaded:
            self._loaded[model] = tf.saved_model.load(str(self._paths[model]))
        answer = self._loaded[model].signatures[signature](
            **{name: tf.constant(value) for name, value in inputs.items()}
        )
        return {name: value.numpy() for name, value in answer.items()}
