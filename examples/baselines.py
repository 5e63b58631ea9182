"""The saved convolutions, for figures that compare a new network with one."""

import pathlib

import keras

SAVED_MODELS = pathlib.Path(__file__).resolve().parents[1] / "saved_models"


def beside_baseline(task, args, trained):
    """Returns the networks of a figure, by layer.

    Args:
        task: String, the name of a saved model without `_conv`.
        args: Flags of the run.
        trained: `keras.Model`, the run's model.

    Returns:
        Dictionary of `trained`, after the saved convolution if the run is of a
        CoordConv network on the split that the convolution was trained on.
    """
    models = {args.layer: trained}
    if args.layer == "coordconv" and args.split == "quadrant":
        path = SAVED_MODELS / f"{task}_conv" / "model.keras"
        models = {"conv": keras.saving.load_model(path, compile=False)} | models
    return models
