"""Benchmark: images per second of the ImageNet input pipeline.

Four ways from JPEG files on disk to training batches, all on the training
images of one folder:

    floor              the lower bound: only reads a file and decodes a random
                       crop of it, with tf.image.decode_and_crop_jpeg
    pipeline           datasets.imagenet.train_dataset: the same crops, resized,
                       flipped, normalized, counted and batched
    decode_whole       decodes the whole image, crops, resizes and normalizes it
                       in a tf.data map, the obvious pipeline
    keras_directory    keras.utils.image_dataset_from_directory, then layers
                       that flip and normalize: the whole image, no crops
                       (without train/, it also reads the tenth of the images
                       that the others use for validation)

They run in turns, so that background load affects all of them equally. The
results are medians of images per second, per wall-clock time and per CPU time
of all cores, and of the ratios to the floor in the same turn.

    python examples/benchmark_imagenet_input.py --data-dir FOLDER

prints a table and writes a JSON file. FOLDER contains class folders of JPEGs;
without it, the script draws images of ImageNet's size.
"""

import startup  # noqa: F401, before the rest

import os

# malloc requests fresh pages from the system for every image, which costs as
# much as resizing it; TensorFlow's own allocator keeps its buffers.
os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")

import functools
import gc
import pathlib
import time

import numpy as np
import tensorflow as tf

from keras_coordconv.experiments import benchmarking
from keras_coordconv.experiments.datasets import image_decoding
from keras_coordconv.experiments.datasets import image_sources
from keras_coordconv.experiments.datasets import imagenet
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training.command import command

AUTOTUNE = tf.data.AUTOTUNE
DRAWN = 200
NAME = "benchmark_imagenet_input"


def build_pipelines(source, folder, args):
    """Builds the data sets to compare, by name; they repeat indefinitely."""
    size, batch_size = args.image_size, args.batch_size

    def decode_crop(index, example):
        path, _ = example
        encoded = source.read(path)
        window = image_decoding.random_window(
            tf.image.extract_jpeg_shape(encoded),
            seed=tf.stack([tf.cast(args.seed, tf.int64), index]),
        )
        return tf.image.decode_and_crop_jpeg(encoded, window, channels=3)

    def decode_whole(path, label):
        image = tf.io.decode_jpeg(source.read(path), channels=3)
        image = tf.image.convert_image_dtype(image, tf.float32)
        begin, crop_size, _ = tf.image.sample_distorted_bounding_box(
            tf.shape(image),
            bounding_boxes=tf.zeros((1, 0, 4)),
            min_object_covered=0.0,
            aspect_ratio_range=(3 / 4, 4 / 3),
            area_range=(0.08, 1.0),
            use_image_if_no_bounding_boxes=True,
        )
        image = tf.slice(image, begin, crop_size)
        image = tf.image.resize(image, (size, size))
        image = tf.image.random_flip_left_right(image)
        mean = np.array(imagenet.MEAN, "float32") / 255
        deviation = np.array(imagenet.STANDARD_DEVIATION, "float32") / 255
        return (image - mean) / deviation, label

    def files():
        return source.examples("train", args.seed)

    return {
        # One crop per element: crops of different sizes cannot be batched.
        "floor": lambda: (
            files()
            .enumerate()
            .map(decode_crop, num_parallel_calls=AUTOTUNE)
            .prefetch(AUTOTUNE)
        ),
        "pipeline": lambda: imagenet.train_dataset(
            source, size, batch_size, seed=args.seed
        ),
        "decode_whole": lambda: (
            files()
            .map(decode_whole, num_parallel_calls=AUTOTUNE)
            .batch(batch_size, drop_remainder=True)
            .prefetch(AUTOTUNE)
        ),
        "keras_directory": lambda: keras_directory(folder, size, batch_size),
    }


def keras_directory(folder, size, batch_size):
    import keras

    train = pathlib.Path(folder, "train")
    dataset = keras.utils.image_dataset_from_directory(
        train if train.is_dir() else folder,
        image_size=(size, size),
        batch_size=batch_size,
        verbose=False,
    )
    mirror = keras.layers.RandomFlip("horizontal")
    normalize = keras.layers.Normalization(
        mean=imagenet.MEAN,
        variance=np.square(imagenet.STANDARD_DEVIATION),
    )
    return (
        dataset.repeat()
        .map(
            lambda images, labels: (
                normalize(mirror(images, training=True)),
                labels,
            ),
            num_parallel_calls=AUTOTUNE,
        )
        .prefetch(AUTOTUNE)
    )


def measure(dataset, images):
    """Measures images per second of wall-clock and of CPU time."""
    run = iter(dataset)
    # Warm-up: tunes the number of threads, uses up what was prefetched.
    take(run, images // 3)
    clock, processor = time.perf_counter(), time.process_time()
    taken = take(run, images)
    rates = (
        taken / (time.perf_counter() - clock),
        taken / (time.process_time() - processor),
    )
    # It must not continue prefetching while the next one runs.
    del run
    gc.collect()
    return rates


def take(run, images):
    """Takes at least this many images; returns the number taken."""
    taken = 0
    while taken < images:
        element = next(run)
        # The floor yields single images.
        taken += len(element[0]) if isinstance(element, tuple) else 1
    return taken


def measure_memory(build, args):
    """Measures the resident memory of this process while it reads images.

    Returns:
        List of pairs of the number of images read and MB.
    """
    status = pathlib.Path("/proc/self/statm")
    if not status.exists():
        return []
    memory = []
    run = iter(build())
    for seen in range(0, args.memory_images, args.batch_size):
        next(run)
        if seen % (args.batch_size * 20) == 0:
            pages = int(status.read_text(encoding="utf-8").split()[1])
            memory.append(
                (
                    seen + args.batch_size,
                    pages * os.sysconf("SC_PAGESIZE") / 1e6,
                )
            )
    return memory


def draw_photos(folder):
    """Writes JPEGs of ImageNet's usual size: smooth colors and grain."""
    random = np.random.default_rng(0)
    for number in range(DRAWN):
        coarse = random.uniform(0, 255, (1, 12, 16, 3)).astype("float32")
        image = tf.image.resize(coarse, (375, 500), "bicubic")[0]
        image += random.normal(0, 14, image.shape)
        encoded = tf.io.encode_jpeg(
            tf.saturate_cast(image, tf.uint8), quality=92
        )
        path = folder / f"class{number % 10}" / f"{number:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded.numpy())


def build_parser():
    parser = flags.Parser(__doc__)
    parser.add_argument(
        "--data-dir", help="folder with class folders (default: drawn images)"
    )
    benchmarking.add_flags(parser, NAME, turns=7)
    for name, default, text in (
        ("images", 2000, "images per measurement"),
        ("image-size", 224, "height and width of the output images"),
        ("batch-size", 64, "images per batch"),
    ):
        parser.add_argument(
            f"--{name}",
            type=flags.positive_integer,
            default=default,
            help=f"{text} (default: %(default)s)",
        )
    parser.add_argument(
        "--memory-images",
        type=int,
        default=0,
        help="also measure memory over this number of images "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=flags.seed,
        default=0,
        help="random seed (default: %(default)s)",
    )
    return parser


@command
def main(argv=None):
    args = build_parser().parse_args(argv)
    output = benchmarking.make_output(args)
    folder = pathlib.Path(args.data_dir or output / "drawn")
    if args.data_dir is None:
        print(f"No --data-dir: drawing images to {folder}.")
        draw_photos(folder)
    source = image_sources.FolderSource(folder)
    photos = source.files("train")
    pipelines = build_pipelines(source, folder, args)
    rates = benchmarking.measure_in_turns(
        {
            name: functools.partial(measure, build(), args.images)
            for name, build in pipelines.items()
        },
        args.turns,
    )
    memory = measure_memory(pipelines["pipeline"], args)

    print(f"\n{'':16} images/s  vs. floor   images/s per core  vs. floor")
    rows = []
    for name, values in rates.items():
        clock, processor = np.median(values, axis=0)
        ratios = benchmarking.median_ratio(values, rates["floor"])
        rows.append(
            {
                "pipeline": name,
                "images_per_second": float(clock),
                "ratio": ratios[0],
                "images_per_core_second": float(processor),
                "ratio_per_core": ratios[1],
                "turns": values.tolist(),
            }
        )
        print(
            f"{name:16} {clock:8.0f} {ratios[0]:10.2f} {processor:19.0f} "
            f"{ratios[1]:10.2f}"
        )
    speedups = {
        name: benchmarking.median_ratio(rates["pipeline"], rates[name])
        for name in ("decode_whole", "keras_directory")
    }
    for name, (clock, processor) in speedups.items():
        print(
            f"pipeline: {clock:.2f} times as fast as {name}, "
            f"{processor:.2f} times per core"
        )
    if memory:
        print(
            f"memory: {memory[0][1]:.0f} MB after {memory[0][0]} images, "
            f"maximum {max(mb for _, mb in memory):.0f} MB, "
            f"{memory[-1][1]:.0f} MB after {memory[-1][0]}"
        )
    return benchmarking.write_results(
        output,
        args,
        rows,
        tensorflow=tf.__version__,
        files=len(photos),
        mean_kilobytes=float(
            np.mean([os.path.getsize(path) for path in photos]) / 1000
        ),
        speedup_over=speedups,
        memory_megabytes=memory,
    )


if __name__ == "__main__":
    main()
