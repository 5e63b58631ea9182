"""Object detection: boxes around digits.

Section 5 of the CoordConv paper (https://arxiv.org/abs/1807.03247). The images
contain five MNIST digits of random sizes; the network proposes boxes, like the
first half of Faster R-CNN. The paper's claim: with CoordConvs, the mean IOU of
boxes and digits on the test images is 24 % higher.

    python examples/object_detection.py --data-dir FOLDER

trains the paper's network with 83,838 parameters. FOLDER is the folder of
TensorFlow Datasets with mnist. `--layer conv` trains it without coordinates,
`--coordinates` with coordinates at only some of the three layers, and
`--anchors scrambled` with the anchors ordered as in the paper's code.

    python examples/object_detection.py --stand-in

tries it on scikit-learn's digits, which need no download.

    python examples/object_detection.py --recipe modern --data-dir FOLDER

trains it with Adam, more boxes per image, and coordinates also in the scoring
layer.
"""

import startup  # noqa: F401, before the rest

import argparse

import keras
import numpy as np

from keras_coordconv import serving
from keras_coordconv.experiments import plots
from keras_coordconv.experiments.datasets import epochs
from keras_coordconv.experiments.datasets import scattered_mnist
from keras_coordconv.experiments.evaluation import detection
from keras_coordconv.experiments.evaluation.losses import BoxLoss
from keras_coordconv.experiments.evaluation.losses import ScoreLoss
from keras_coordconv.experiments.models import region_proposal
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import optimizers
from keras_coordconv.experiments.training import recipes
from keras_coordconv.experiments.training.command import command
from keras_coordconv.experiments.training.run import Run

NAME = "object_detection"
NO_DATA = (
    "MNIST not found: {reason}\n"
    "  1. python -c \"import tensorflow_datasets as tfds; tfds.load('mnist', "
    "data_dir='FOLDER')\"\n"
    "  2. python examples/object_detection.py --data-dir FOLDER\n"
    "  3. or try the stand-in: python examples/object_detection.py --stand-in"
)
RECIPES = {
    "--no-stand-in": {"data_dir": None},
    "--recipe paper": {
        "width": 1,
        "samples": 6,
        "negative_iou": 0.1,
        "epochs": 5,
        "batch_size": 16,
        "learning_rate": 0.016,
        "l2": 0.0,
    },
    "--recipe modern": {
        "width": 1,
        "samples": 64,
        "negative_iou": 0.4,
        "epochs": 10,
        "batch_size": 16,
        "learning_rate": 0.002,
        "warmup_epochs": 0.25,
        "schedule": "cosine",
        "l2": 0.0,
    },
    "--layer coordconv": {"coordinates": "image,features,boxes"},
    "--layer coordconv --recipe modern": {
        "coordinates": "image,features,boxes,scores"
    },
}
# IOU above which one of two boxes is dropped: for the paper's IOUs, and for the
# average precision, the figure and the export.
PAPER_OVERLAP, OVERLAP = 0.8, 0.5


def coordconv_sites(text):
    """Type of a flag: the layers that have coordinates."""
    sites = region_proposal.COORDCONV_SITES
    if not set(text.split(",")) <= set(sites):
        raise argparse.ArgumentTypeError(
            f"must be some of {', '.join(sites)}, separated by commas, "
            f"received {text}"
        )
    return text


def build_parser():
    parser = flags.build_parser(__doc__)
    model = parser.add_argument_group("data and model")
    flags.add_layer(model)
    model.add_argument(
        "--recipe",
        choices=("paper", "modern"),
        default="paper",
        help="the paper's recipe with SGD, or Adam with cosine decay and more "
        "boxes per image (default: %(default)s)",
    )
    model.add_argument(
        "--data-dir",
        help="folder of TensorFlow Datasets (default: $TFDS_DATA_DIR, else "
        "~/tensorflow_datasets)",
    )
    model.add_argument(
        "--stand-in",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="train on scikit-learn's digits",
    )
    model.add_argument(
        "--images",
        choices=("gray", "binary"),
        default="gray",
        help="gray digits, or binary ones, as in the paper's code "
        "(default: %(default)s)",
    )
    model.add_argument(
        "--coordinates",
        type=coordconv_sites,
        help="layers of the CoordConv network that have coordinates: some of "
        f"{','.join(region_proposal.COORDCONV_SITES)}",
    )
    model.add_argument(
        "--anchors",
        choices=region_proposal.ANCHOR_LAYOUTS,
        default="grid",
        help="anchors centered at their positions, or ordered as in the "
        "paper's code (default: %(default)s)",
    )
    model.add_argument(
        "--width",
        type=flags.positive_integer,
        help="factor on the number of filters",
    )
    training = flags.add_training(parser)
    training.add_argument(
        "--samples",
        type=flags.positive_integer,
        help="maximum number of positive boxes, and of negative boxes, that a "
        "loss samples per image",
    )
    training.add_argument(
        "--negative-iou",
        type=flags.fraction,
        help="boxes whose IOU with every digit is below this are negative",
    )
    return parser


def load_examples(args):
    """Loads the images and true boxes of both subsets."""
    if args.stand_in:
        print("Stand-in: scikit-learn's digits, not MNIST.")
    examples = {}
    for subset in scattered_mnist.EXAMPLES:
        if args.stand_in:
            digits = scattered_mnist.load_stand_in(subset)
        else:
            try:
                digits = scattered_mnist.load_digits(subset, args.data_dir)
            except ValueError as error:
                raise ValueError(NO_DATA.format(reason=error)) from error
        examples[subset] = scattered_mnist.load_arrays(
            digits,
            subset,
            args.limit_examples,
            binary=args.images == "binary",
        )
    return examples


def build_dataset(examples, batch_size=50, **order):
    # Both losses use the true boxes.
    return epochs.batches(examples, batch_size, **order).map(
        lambda example: (
            example["image"],
            {"deltas": example["boxes"], "proposals": example["boxes"]},
        )
    )


def build_optimizer(args, steps_per_epoch):
    if args.recipe == "modern":
        return optimizers.paper_adam(args, steps_per_epoch)
    return keras.optimizers.SGD(args.learning_rate, momentum=0.9)


@command
def main(argv=None):
    args = recipes.parse(build_parser(), RECIPES, argv)
    examples = load_examples(args)
    with Run(NAME, args) as run:
        shuffled = build_dataset(
            examples["train"],
            args.batch_size,
            shuffle_seed=args.seed,
            epochs_done=run.epochs_done,
        ).take(args.steps_per_epoch or -1)
        # Measure on as many training images as there are test images.
        count = len(examples["test"]["image"])
        measured = {
            subset: {name: array[:count] for name, array in of_subset.items()}
            for subset, of_subset in examples.items()
        }
        data = {subset: build_dataset(e) for subset, e in measured.items()}

        anchors = region_proposal.anchor_boxes(args.anchors)
        model = region_proposal.region_proposal_model(
            args.coordinates.split(",") if args.layer == "coordconv" else (),
            anchors,
            args.width,
            args.l2,
        )
        model.summary()
        # An attribute of the model, so that the run reseeds it for each epoch.
        model.sampler = keras.random.SeedGenerator(args.seed)
        matching = {
            "samples": args.samples,
            "negative_iou": args.negative_iou,
            "seed": model.sampler,
        }
        model.compile(
            build_optimizer(args, len(shuffled)),
            {
                "deltas": BoxLoss(anchors, **matching),
                "proposals": ScoreLoss(**matching),
            },
            steps_per_execution=min(16, len(shuffled)),
        )
        run.fit(model, shuffled, args.epochs, validation_data=data["test"])

        trained = run.trained_model()
        paper_detector = region_proposal.detector(trained, PAPER_OVERLAP)
        detector = region_proposal.detector(trained, OVERLAP)
        metrics = run.evaluate(trained, **data)
        for subset, of_subset in measured.items():
            scores = measure(paper_detector, detector, **of_subset)
            metrics |= {f"{subset}_{name}": x for name, x in scores.items()}
        run.save_figure(
            "detections", draw_detections(detector, **examples["test"])
        )
        if args.export_dir:
            run.export(
                detector,
                metrics,
                signatures={
                    "serving_default": serving.encoded_image_signature(
                        detector, value_range=(0, 1)
                    )
                },
            )
        return run.finish(metrics)


def measure(paper_detector, detector, image, boxes):
    """Computes the paper's IOUs and COCO's average precision, by name."""
    true_boxes = np.clip(boxes, 0, region_proposal.CANVAS_SIZE)
    found = paper_detector.predict(image, batch_size=100, verbose=0)
    scores = detection.mean_ious(**found, true_boxes=true_boxes)
    found = detector.predict(image, batch_size=100, verbose=0)
    return scores | detection.average_precision(**found, true_boxes=true_boxes)


def draw_detections(detector, image, boxes):
    """Draws the detections in nine images."""
    image = image[:9]
    found = detector.predict_on_batch(image)
    return plots.plot_detections(image, boxes, found["boxes"], found["scores"])


if __name__ == "__main__":
    main()
