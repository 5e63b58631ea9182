"""Supervised training of one model: optimizer, fit, evaluation."""

import keras
import numpy as np

from keras_coordconv.training import schedules


def paper_optimizer(args, steps_per_epoch):
    """Adam with the paper's constants, and the schedule of the flags.

    Args:
        args: Parsed flags with `learning_rate`, `epochs`, `warmup_epochs`.
        steps_per_epoch: Integer, batches an epoch.
    """
    return keras.optimizers.Adam(
        schedules.warmup_cosine(
            args.learning_rate,
            total_steps=args.epochs * steps_per_epoch,
            warmup_steps=round(args.warmup_epochs * steps_per_epoch),
        ),
        beta_1=0.9,
        beta_2=0.99,
        epsilon=1e-8,
    )


def fit(
    model,
    train_data,
    test_data,
    run,
    epochs,
    steps_per_epoch=None,
    callbacks=(),
    tensorboard=None,
):
    """Trains a compiled model in a run folder, from `run.epochs_done` on.

    The test set is evaluated after each epoch, for the curves only: the epoch
    with the lowest training loss becomes `best.keras`.

    Args:
        model: A compiled `keras.Model`.
        train_data, test_data: `tf.data.Dataset`s of batches.
        run: `RunFolder`, which has restored the model.
        epochs: Integer, how many, those of the checkpoint included.
        steps_per_epoch: Integer, for a `train_data` without end.
        callbacks: Keras callbacks. What they add to the logs at the end of an
            epoch is written to the history.
        tensorboard: String, a folder for TensorBoard's logs.
    """
    callbacks = [*callbacks, run.callback()]
    if tensorboard and run.writes:
        callbacks.append(keras.callbacks.TensorBoard(tensorboard))
    model.fit(
        train_data,
        validation_data=test_data,
        epochs=epochs,
        initial_epoch=run.epochs_done,
        steps_per_epoch=steps_per_epoch,
        callbacks=callbacks,
        shuffle=False,  # The data set does that itself.
        verbose="auto" if run.writes else 0,
    )


def evaluate(model, score, **data):
    """Losses and metrics of a model by `<set>_<name>`, as in metrics.json.

    Args:
        model: A compiled `keras.Model`.
        score: String, the metric that goes by its plain name where Keras puts
            the name of the output before it.
        **data: Data sets by name.
    """
    return {
        f"{subset}_{score if name.endswith(score) else name}": value
        for subset, dataset in data.items()
        for name, value in model.evaluate(
            dataset, verbose=0, return_dict=True
        ).items()
    }


def trainable_parameters(model):
    """Number of trainable parameters of a model."""
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)
