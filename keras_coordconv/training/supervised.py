"""Supervised training of one model: schedule, fit, evaluation."""

import keras
import numpy as np


def warmup_cosine(learning_rate, total_steps, warmup_steps=0):
    """Learning rate: linear from zero, then a half cosine down to zero.

    Args:
        learning_rate: Float, the highest rate.
        total_steps: Integer, length of the training in batches.
        warmup_steps: Integer, how many of them the rate rises.

    Returns:
        A `keras.optimizers.schedules.LearningRateSchedule`.
    """
    if not warmup_steps:
        return keras.optimizers.schedules.CosineDecay(
            learning_rate, total_steps
        )
    return keras.optimizers.schedules.CosineDecay(
        0.0,
        total_steps - warmup_steps,
        warmup_target=learning_rate,
        warmup_steps=warmup_steps,
    )


def paper_optimizer(args, steps_per_epoch):
    """Adam with the paper's constants, and the schedule of the flags.

    Args:
        args: Parsed flags with `learning_rate`, `epochs`, `warmup_epochs`.
        steps_per_epoch: Integer, batches an epoch.
    """
    return keras.optimizers.Adam(
        warmup_cosine(
            args.learning_rate,
            total_steps=args.epochs * steps_per_epoch,
            warmup_steps=round(args.warmup_epochs * steps_per_epoch),
        ),
        beta_1=0.9,
        beta_2=0.99,
        epsilon=1e-8,
    )


def fit(model, train_data, test_data, args, run, callbacks=()):
    """Trains a compiled model in a run folder, from its last checkpoint on.

    The test set is evaluated after each epoch, for the curves only: the epoch
    with the lowest training loss becomes `best.keras`.

    Args:
        model: A compiled `keras.Model`.
        train_data, test_data: `tf.data.Dataset`s of batches.
        args: Parsed flags with `epochs`, `steps_per_epoch` and `tensorboard`.
        run: `RunFolder`.
        callbacks: Keras callbacks. What they add to the logs at the end of an
            epoch is written to the history.

    Returns:
        The best model, reloaded from its file.
    """
    callbacks = [*callbacks, run.callback()]
    if args.tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(args.tensorboard))
    if args.steps_per_epoch:
        train_data = train_data.repeat()
    run.restore(model)
    model.fit(
        train_data,
        validation_data=test_data,
        epochs=args.epochs,
        initial_epoch=run.epochs_done,
        steps_per_epoch=args.steps_per_epoch,
        callbacks=callbacks,
    )
    return run.load_best_model()


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
