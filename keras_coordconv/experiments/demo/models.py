"""Runs the models in a folder, with the interface of `ServingClient`."""

import pathlib

import tensorflow as tf

from keras_coordconv.serving import check
from keras_coordconv.serving.signatures import read_signatures
from keras_coordconv.serving.versions import versions


class SavedModels:
    """Runs the latest version of each model in a folder, in this process.

    Args:
        folder: String or path of a folder with `<name>/<version>/`.

    Raises:
        ValueError: if the folder has no models.
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
                "No models found in --saved-models. "
                f"Received: {folder}, which has no <name>/<version>/. Start in "
                "the repository root, or pass the path of its saved_models/."
            )
        self._loaded = {}

    def status(self, model):
        """Return the state of the model's version, if the model exists."""
        if model not in self._paths:
            return {}
        return {int(self._paths[model].name): "AVAILABLE"}

    def metadata(self, model):
        """Return the model's signatures, like `ServingClient.metadata`."""
        return read_signatures(self._paths[model])

    def predict(self, model, inputs, signature="serving_default"):
        """Run a model, like `ServingClient.predict`.

        Raises:
            ValueError: if the model or the signature is unknown, or the version
                is damaged.
        """
        if model not in self._paths:
            raise ValueError(
                f"Unknown model {model!r}. Available: {', '.join(self._paths)}"
            )
        path = self._paths[model]
        try:
            if model not in self._loaded:
                self._loaded[model] = tf.saved_model.load(str(path))
            answer = self._loaded[model].signatures[signature](
                **{name: tf.constant(value) for name, value in inputs.items()}
            )
        except Exception as error:  # Damaged files raise errors of many types.
            raise ValueError(
                f"Could not load or run the signature {signature!r} of {path}: "
                f"{check.reason_of(error)}"
            ) from error
        return {name: value.numpy() for name, value in answer.items()}
