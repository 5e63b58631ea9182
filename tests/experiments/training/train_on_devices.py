"""Trains a small model on the devices of its flags, for test_distribution.

It has what makes several devices differ from one: batch normalization, a
penalty, moving averages of the weights, images that several processes share, a
last batch of the validation that is not full, and files that one process
writes. Writes the losses and the weights to `--output`.
"""

import os

import keras
import numpy as np
from keras import layers

from keras_coordconv import CoordConv2D
from keras_coordconv.experiments.datasets import image_sources
from keras_coordconv.experiments.datasets import imagenet
from keras_coordconv.experiments.training import distribution
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import recipes
from keras_coordconv.experiments.training.command import command
from keras_coordconv.experiments.training.run import Run

BATCH_SIZE = 8
STEPS_PER_EPOCH = 5


def build_model(synchronized):
    inputs = keras.Input((16, 16, 3))
    x = CoordConv2D(8, 3, strides=2, kernel_regularizer="l2")(inputs)
    x = layers.BatchNormalization(momentum=0.8, synchronized=synchronized)(x)
    x = layers.Activation("relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(3)(x))


def check_that_differences_are_found(devices):
    try:
        devices.check_same(seed=0, the_process=devices.process_id)
    except ValueError as error:
        if "the_process=" in str(error):
            return
    raise AssertionError("check_same must find what differs")


@command
def main(argv=None):
    parser = flags.build_parser(__doc__)
    parser.add_argument("--data-dir")
    parser.add_argument("--output")
    distribution.add_arguments(parser)
    args = recipes.parse(parser, {}, argv)
    devices = distribution.start(args.devices)
    with devices.plain_errors():
        train(args, devices)


def train(args, devices):
    run = Run("train_on_devices", args, devices=devices)
    if devices.processes > 1:
        check_that_differences_are_found(devices)
    source = image_sources.FolderSource(args.data_dir)
    share = {"shards": devices.processes, "shard": devices.process_id}
    batch_size = devices.local_batch_size(BATCH_SIZE)
    with devices.scope():
        model = build_model(devices.is_mirrored)
        model.compile(
            keras.optimizers.SGD(
                0.05, momentum=0.9, use_ema=True, ema_momentum=0.9
            ),
            keras.losses.CategoricalCrossentropy(from_logits=True),
            weighted_metrics=[
                keras.metrics.CategoricalAccuracy(name="top1"),
                keras.metrics.CategoricalCrossentropy(
                    from_logits=True, name="cross_entropy"
                ),
            ],
            **devices.compile_arguments(),
        )
    start = run.epochs_done * STEPS_PER_EPOCH * BATCH_SIZE
    run.fit(
        model,
        imagenet.train_dataset(source, 16, batch_size, start=start, **share),
        # No flag: flags cannot change when a run is resumed.
        int(os.environ.get("EPOCHS", 10)),
        validation_data=imagenet.evaluation_dataset(
            source, 16, batch_size, **share
        ),
        steps_per_epoch=STEPS_PER_EPOCH,
        callbacks=[keras.callbacks.SwapEMAWeights()],
    )
    trained = run.trained_model()
    weights = {
        f"{name}{i:02d}": np.array(weight)
        for name, saved in (("weight", model), ("trained", trained))
        for i, weight in enumerate(saved.get_weights())
    }
    history = {
        name: [row[name] for row in run.history]
        for name in run.history[0]
        if name not in ("epoch", "seconds")
    }
    if devices.is_first_process:
        np.savez(
            args.output,
            devices=devices.count,
            **history,
            **weights,
        )
    devices.wait_for_all()


if __name__ == "__main__":
    main()
