"""ImageNet: ResNet-50 with or without a CoordConv in front.

Section 5 of the CoordConv paper (https://arxiv.org/abs/1807.03247). Its claim:
coordinates do not hurt where they are not needed. One 1x1 CoordConv in front of
ResNet-50 changed the top-5 accuracy by +0.04 %, which is not significant.

    python examples/imagenet_resnet50.py --data-dir FOLDER

trains ResNet-50 with the CoordConv for 90 epochs on all GPUs of this machine;
`--layer conv` trains it without. FOLDER contains class folders of JPEGs
(train/<class>/*.JPEG, val/<class>/*.JPEG), or is the folder of TensorFlow
Datasets with imagenet2012 or with ImageNet's tar files in downloads/manual.

    python examples/imagenet_resnet50.py --stand-in

tries it on ten drawn shapes, which need no download.

Several machines train together with KERAS_BACKEND=jax, under a launcher:

    srun --kill-on-bad-exit python examples/imagenet_resnet50.py \\
        --data-dir FOLDER \\
        --workdir SHARED --resume
"""

import startup  # noqa: F401, before the rest

import argparse
import os

# malloc requests fresh pages from the system for every image, which costs as
# much as resizing it; TensorFlow's own allocator keeps its buffers.
os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")

import keras

from keras_coordconv import serving
from keras_coordconv.experiments.datasets import image_decoding
from keras_coordconv.experiments.datasets import image_sources
from keras_coordconv.experiments.datasets import imagenet
from keras_coordconv.experiments.datasets import stand_in
from keras_coordconv.experiments.models import resnet
from keras_coordconv.experiments.training import callbacks
from keras_coordconv.experiments.training import distribution
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import optimizers
from keras_coordconv.experiments.training import recipes
from keras_coordconv.experiments.training.command import command
from keras_coordconv.experiments.training.run import Run

NAME = "imagenet_resnet50"
NO_DATA = (
    "{reason}\n"
    "  1. use a FOLDER with train/<class>/*.JPEG and val/<class>/*.JPEG; or "
    "register at image-net.org and put ILSVRC2012_img_train.tar and "
    "ILSVRC2012_img_val.tar into FOLDER/downloads/manual\n"
    "  2. python examples/imagenet_resnet50.py --data-dir FOLDER\n"
    "  3. or try the stand-in: python examples/imagenet_resnet50.py --stand-in"
)
RECIPES = {
    "--no-stand-in": {
        "data_dir": None,
        "dataset": "imagenet2012",
        "image_size": 224,
        "epochs": 90,
        "batch_size": 256,
        "learning_rate": 0.1,
        "warmup_epochs": 5.0,
        "l2": 0.00005,
    },
    "--stand-in": {
        "image_size": 32,
        "epochs": 6,
        "batch_size": 32,
        "learning_rate": 0.1,
        "warmup_epochs": 1.0,
        "l2": 0.00005,
    },
}
DROPS = (30 / 90, 60 / 90, 80 / 90)


def build_parser():
    parser = flags.build_parser(__doc__)
    data = parser.add_argument_group("data and model")
    data.add_argument(
        "--layer",
        choices=resnet.LAYERS,
        default="coordconv",
        help="in front of ResNet-50: a CoordConv, nothing (conv), or a plain "
        "convolution of the same size (default: %(default)s)",
    )
    data.add_argument(
        "--data-dir",
        help="folder with class folders, or folder of TensorFlow Datasets "
        "(default: $TFDS_DATA_DIR, else ~/tensorflow_datasets)",
    )
    data.add_argument(
        "--dataset", help="name of the data set in TensorFlow Datasets"
    )
    data.add_argument(
        "--stand-in",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="train on ten drawn shapes, written to runs/stand_in",
    )
    data.add_argument(
        "--image-size",
        type=flags.positive_integer,
        help="height and width of the crops",
    )
    training = flags.add_training(
        parser,
        learning_rate="peak learning rate of SGD at batch size 256, scaled "
        "linearly",
        schedule="steps",
        drops="1/3, 2/3 and 8/9 of the epochs",
    )
    training.add_argument(
        "--label-smoothing",
        type=flags.fraction,
        default=0.0,
        help="label smoothing, from 0 to 1 (default: %(default)s)",
    )
    training.add_argument(
        "--ema-momentum",
        type=flags.fraction,
        default=0.0,
        help="momentum of the moving averages of the weights, such as 0.9999; "
        "these are validated and saved (default: 0, no averages)",
    )
    distribution.add_arguments(parser)
    return parser


def open_data(args, devices):
    """Opens the images that the flags select."""
    if args.stand_in:
        print("Stand-in: ten drawn shapes, not ImageNet.")
        folder = stand_in.write_stand_in("runs/stand_in")
        return image_sources.FolderSource(folder, args.limit_examples)
    try:
        return image_sources.open_source(
            args.dataset,
            args.data_dir,
            args.limit_examples,
            prepare=devices.processes == 1,
        )
    except ValueError as error:
        raise ValueError(NO_DATA.format(reason=error)) from error


def build_optimizer(args, steps_per_epoch):
    return keras.optimizers.SGD(
        optimizers.scheduled_rate(
            args.learning_rate * args.batch_size / 256,
            args,
            steps_per_epoch,
            drops=[part * args.epochs for part in DROPS],
        ),
        momentum=0.9,
        use_ema=args.ema_momentum > 0,
        ema_momentum=args.ema_momentum,
    )


def build_metrics():
    return [
        keras.metrics.CategoricalAccuracy(name="top1"),
        keras.metrics.TopKCategoricalAccuracy(5, name="top5"),
        keras.metrics.CategoricalCrossentropy(
            from_logits=True, name="cross_entropy"
        ),
    ]


@command
def main(argv=None):
    args = recipes.parse(build_parser(), RECIPES, argv)
    devices = distribution.start(args.devices)
    batch_size = devices.local_batch_size(args.batch_size)
    source = open_data(args, devices)
    steps_per_epoch = (
        args.steps_per_epoch or source.count("train") // args.batch_size
    )
    if not steps_per_epoch:
        raise ValueError(
            "The training set must have at least one batch. Received: "
            f"{source.count('train')} images for a batch of {args.batch_size}"
        )
    with devices.plain_errors(), Run(NAME, args, devices=devices) as run:
        devices.check_same(
            images={
                subset: source.count(subset) for subset in image_sources.SUBSETS
            }
        )

        skipped = image_decoding.new_count()
        share = {"shards": devices.processes, "shard": devices.process_id}
        train = imagenet.train_dataset(
            source,
            args.image_size,
            batch_size,
            seed=args.seed,
            # A resumed run continues with the images that would have come next.
            start=run.epochs_done * steps_per_epoch * args.batch_size,
            skipped=skipped,
            **share,
        )
        validation = imagenet.evaluation_dataset(
            source, args.image_size, batch_size, **share
        )

        with devices.scope():
            model = resnet.resnet50(
                args.layer,
                classes=len(source.labels),
                image_size=args.image_size,
                l2=args.l2,
                synchronized=devices.is_mirrored,
            )
            model.compile(
                build_optimizer(args, steps_per_epoch),
                keras.losses.CategoricalCrossentropy(
                    from_logits=True, label_smoothing=args.label_smoothing
                ),
                # Weighted: images that pad the last batch have weight 0.
                weighted_metrics=build_metrics(),
                **devices.compile_arguments(),
            )
        print(
            f"{args.layer}: {source.count('train'):,} training images, "
            f"{len(source.labels)} classes, {devices.count} devices"
        )
        averaging = (
            [keras.callbacks.SwapEMAWeights()] if args.ema_momentum else []
        )
        with image_decoding.plain_errors():
            run.fit(
                model,
                train,
                args.epochs,
                steps_per_epoch=steps_per_epoch,
                validation_data=validation,
                callbacks=[
                    callbacks.Throughput(args.batch_size),
                    callbacks.ReportSkippedImages(skipped),
                    *averaging,
                ],
            )

        trained = run.trained_model()
        scores = run.evaluate(trained, test=validation)
        metrics = {
            "images_per_second": run.history[-1].get("images_per_second"),
            "devices": devices.count,
            "test_loss": scores["test_cross_entropy"],
            "test_top1": scores["test_top1"],
            "test_top5": scores["test_top5"],
        }
        if devices.is_first_process:
            # Not counted during the run: Keras starts the data set repeatedly.
            undecodable = imagenet.count_undecodable(source, "validation")
            metrics["validation_undecodable_images"] = undecodable
            if args.export_dir:
                run.export(
                    trained,
                    metrics,
                    outputs=resnet.serving_outputs,
                    labels=source.labels,
                    signatures={
                        "serving_default": serving.encoded_image_signature(
                            trained,
                            lambda image: imagenet.preprocess_for_serving(
                                image, args.image_size
                            ),
                        )
                    },
                )
        return run.finish(metrics)


if __name__ == "__main__":
    main()
