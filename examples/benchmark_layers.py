"""Benchmark: the cost of CoordConv2D relative to Conv2D.

Measures the time of inference and of a training step on a grid of shapes, for a
plain convolution and five ways to compute CoordConv:

    conv            keras.layers.Conv2D, without coordinates: the reference
    coordconv       CoordConv2D
    folded          CoordConv2D after fold_coordinates (inference only)
    concatenation   CoordinateChannel2D, then Conv2D
    matmul          coordinates from a matrix product per image, as in the first
                    implementations, then concatenation and Conv2D
    repeat          coordinates repeated over the batch, then concatenation and
                    Conv2D

All are timed in turns, call by call, so that background load affects all of
them equally. Each time is divided by the time of `conv` in the same turn; the
result is the median of these ratios.

    python examples/benchmark_layers.py

prints a table, and writes a JSON file and a chart. To measure peak memory, too:

    TF_CPU_ALLOCATOR_USE_BFC=true python examples/benchmark_layers.py

To measure coordinates that differ by example, passed as `affine`:

    python examples/benchmark_layers.py --modes frame_inference frame_training

    affine      CoordConv2D with `affine`
    appended    CoordinateChannel2D with `affine`, then Conv2D

To verify that an encoding costs nothing once it is folded (`encoded` has 32
bands of FourierFeatures, `folded` two coordinates):

    python examples/benchmark_layers.py --modes encoding_inference

To compare with CoordConv2D of another version (`other`), in a folder:

    git worktree add ../other COMMIT
    python examples/benchmark_layers.py --other ../other

To measure exported models in the runtimes of a CPU, which need `pip install
'.[experiments,onnx]'`, in place of `--modes`:

    python examples/benchmark_layers.py --runtime openvino onnxruntime tflite

On a GPU, use JAX, which compiles each model for the sizes of the shape:

    KERAS_BACKEND=jax python examples/benchmark_layers.py --calls-together 20
"""

import startup  # noqa: F401, before the rest

import concurrent.futures
import functools
import importlib
import os
import pathlib
import sys
import tempfile
import typing

import keras
import numpy as np
from keras import ops

import keras_coordconv
from keras_coordconv import _files
from keras_coordconv import frames
from keras_coordconv.experiments import benchmarking
from keras_coordconv.experiments import plots
from keras_coordconv.experiments.models import resnet
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training.command import command

NAME = "benchmark_layers"
NAME_OF_PACKAGE = "keras_coordconv"


class Shape(typing.NamedTuple):
    """A convolution of square images."""

    size: int
    channels: int
    filters: int
    kernel_size: int
    strides: int
    batch_size: int
    known_size: bool = True

    def __str__(self):
        return (
            f"{self.size}\u00b2{'' if self.known_size else ' unknown'}, "
            f"{self.channels}\u2192{self.filters}, "
            f"{self.kernel_size}\u00d7{self.kernel_size}/{self.strides}, "
            f"batch {self.batch_size}"
        )


SHAPES = [
    # The paper's stem for ImageNet.
    Shape(224, 3, 8, 1, 1, 1),
    Shape(224, 3, 8, 1, 1, 8),
    Shape(224, 3, 8, 1, 1, 32),
    Shape(224, 3, 64, 3, 2, 16),
    Shape(224, 8, 64, 7, 2, 1),
    Shape(112, 3, 16, 1, 1, 16),
    Shape(112, 16, 32, 3, 1, 16),
    Shape(112, 32, 64, 1, 1, 1),
    Shape(56, 64, 64, 1, 1, 16),
    Shape(56, 64, 64, 3, 1, 16),
    Shape(56, 64, 256, 1, 1, 1),
    Shape(56, 128, 128, 3, 2, 16),
    Shape(28, 128, 128, 3, 1, 32),
    Shape(28, 256, 128, 1, 1, 16),
    Shape(14, 256, 256, 3, 1, 32),
    Shape(14, 256, 256, 1, 1, 1),
    Shape(64, 3, 32, 3, 1, 32),
    Shape(64, 32, 32, 1, 1, 32),
    Shape(64, 64, 128, 3, 2, 1),
    Shape(512, 8, 16, 3, 1, 1, known_size=False),
    Shape(512, 8, 16, 3, 1, 8, known_size=False),
]


RESNET50_MODES = ("resnet50", "resnet50_stem")
FRAME_MODES = ("frame_inference", "frame_training")
MODES = (
    *("inference", "training", *FRAME_MODES, "encoding_inference"),
    *RESNET50_MODES,
)
RUNTIMES = ("openvino", "onnxruntime", "tflite")
# Learning rate; so low that the weights do not change.
RATE = 1e-6


class MatmulCoordinates(keras.layers.Layer):
    """Coordinates as outer products of ones and a range, per image."""

    def call(self, inputs):
        batch, height, width, _ = ops.shape(inputs)
        channels = []
        for size, other, transpose in (
            (height, width, False),
            (width, height, True),
        ):
            index = ops.broadcast_to(
                ops.cast(ops.arange(size), "int32")[None, :, None],
                (batch, size, 1),
            )
            ones = ops.ones((batch, 1, other), "int32")
            grid = ops.cast(ops.matmul(index, ones), self.compute_dtype)
            last = ops.cast(size - 1, self.compute_dtype)
            grid = grid / last * 2 - 1
            if transpose:
                grid = ops.transpose(grid, (0, 2, 1))
            channels.append(grid[..., None])
        return ops.concatenate([inputs, *channels], axis=-1)


class RepeatCoordinates(keras.layers.Layer):
    """Coordinates as a grid repeated over the batch."""

    def call(self, inputs):
        batch, height, width, _ = ops.shape(inputs)
        rows, columns = (
            ops.arange(size, dtype=self.compute_dtype)
            / ops.cast(size - 1, self.compute_dtype)
            for size in (height, width)
        )
        grid = ops.stack(ops.meshgrid(rows, columns, indexing="ij"), axis=-1)
        grid = ops.repeat((grid * 2 - 1)[None], batch, axis=0)
        return ops.concatenate([inputs, grid], axis=-1)


def import_other(folder):
    """Imports another version of the package next to the current one."""

    def take_modules():
        names = [n for n in sys.modules if n.split(".")[0] == NAME_OF_PACKAGE]
        return {name: sys.modules.pop(name) for name in names}

    modules = take_modules()
    # Keras loads models with the classes that were registered last.
    registered = dict(keras.saving.get_custom_objects())
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(NAME_OF_PACKAGE)
    finally:
        sys.path.remove(folder)
        take_modules()
        sys.modules.update(modules)
        keras.saving.get_custom_objects().update(registered)


def build_models(mode, shape, activation, other=None):
    """Builds the models to compare, by name, for the same input."""
    size = shape.size if shape.known_size else None
    images = keras.Input((size, size, shape.channels))
    affine = keras.Input((2, 3))

    def model(layer, *further, **frame):
        outputs = layer(images, **frame)
        for layer in further:
            outputs = layer(outputs)
        return keras.Model(
            [images, *frame.values()] if frame else images, outputs
        )

    def convolution(layer_class=keras.layers.Conv2D, **arguments):
        return layer_class(
            shape.filters,
            shape.kernel_size,
            strides=shape.strides,
            padding="same",
            activation=activation,
            **arguments,
        )

    coordconv = model(convolution(keras_coordconv.CoordConv2D))
    if mode in FRAME_MODES:
        return {
            "conv": model(convolution()),
            "coordconv": coordconv,
            "affine": model(
                convolution(keras_coordconv.CoordConv2D), affine=affine
            ),
            "appended": model(
                keras_coordconv.CoordinateChannel2D(),
                convolution(),
                affine=affine,
            ),
        }
    folded, of_other = {}, {}
    if shape.known_size and mode != "training":
        folded = {"folded": keras_coordconv.fold_coordinates(coordconv)}
    if mode == "encoding_inference":
        encoding = keras_coordconv.FourierFeatures(32)
        encoded = convolution(keras_coordconv.CoordConv2D, encoding=encoding)
        if folded:
            folded["encoded"] = keras_coordconv.fold_coordinates(model(encoded))
        return {"conv": model(convolution()), **folded}
    if mode in RUNTIMES:
        return {
            "conv": model(convolution()),
            "coordconv": coordconv,
            **folded,
            "concatenation": model(
                keras_coordconv.CoordinateChannel2D(), convolution()
            ),
        }
    if other:
        of_other = {"other": model(convolution(other.CoordConv2D))}
    return {
        "conv": model(convolution()),
        "coordconv": coordconv,
        **of_other,
        **folded,
        "concatenation": model(
            keras_coordconv.CoordinateChannel2D(), convolution()
        ),
        "matmul": model(MatmulCoordinates(), convolution()),
        "repeat": model(RepeatCoordinates(), convolution()),
    }


def compile_inference(model, inputs):
    """Returns a function that runs the compiled model once.

    The batch size is dynamic, as in `predict` and in a served model; on JAX,
    all sizes are static.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        function = tf.function(
            lambda x: model(x, training=False),
            input_signature=[
                keras.tree.map_structure(
                    lambda symbol, tensor: tf.TensorSpec(
                        symbol.shape, tensor.dtype
                    ),
                    model.input,
                    inputs,
                )
            ],
        )
        return lambda: function(inputs)
    if backend == "jax":
        import jax

        state = jax_state(model)
        function = jax.jit(lambda *state: model.stateless_call(*state)[0])
        return lambda: function(*state, inputs)
    import torch

    def call():
        with torch.no_grad():
            return model(inputs, training=False)

    return call


def compile_openvino(model, inputs):
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        file = export_onnx(model, inputs, folder)
        compiled = openvino.compile_model(
            openvino.convert_model(file),
            "CPU",
            {
                # Where the processor has bfloat16, it is the default.
                "INFERENCE_PRECISION_HINT": "f32",
                "PERFORMANCE_HINT": "LATENCY",
            },
        )
    request = compiled.create_infer_request()
    inputs = ops.convert_to_numpy(inputs)

    def call():
        found = request.infer(inputs, share_inputs=True, share_outputs=True)
        return found[0]

    return call


def compile_onnxruntime(model, inputs):
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        session = onnxruntime.InferenceSession(
            export_onnx(model, inputs, folder),
            providers=["CPUExecutionProvider"],
        )
    feed = {session.get_inputs()[0].name: ops.convert_to_numpy(inputs)}
    return lambda: session.run(None, feed)[0]


def export_onnx(model, inputs, folder):
    model(inputs)  # Keras exports only models that have been called.
    file = f"{folder}/model.onnx"
    model.export(file, format="onnx", verbose=False)
    return file


def compile_tflite(model, inputs):
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, verbose=False)
        content = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
    interpreter = tf.lite.Interpreter(
        model_content=content, num_threads=os.cpu_count()
    )
    source = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(source, inputs.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source, ops.convert_to_numpy(inputs))
    target = interpreter.get_output_details()[0]["index"]
    tensor = interpreter.tensor(target)

    def call():
        interpreter.invoke()
        return tensor

    return call


def compile_training_step(model, inputs):
    """Returns a function that runs one training step."""
    if keras.backend.backend() == "jax":
        return compile_jax_step(model, inputs)
    model.compile(
        keras.optimizers.SGD(RATE),
        lambda _, outputs: ops.mean(ops.square(outputs)),
        jit_compile=False,
    )
    targets = ops.zeros((len(keras.tree.flatten(inputs)[0]), 1))
    return lambda: model.train_on_batch(inputs, targets)


def compile_jax_step(model, inputs):
    """Compiles the same step for JAX, as one function.

    `train_on_batch` copies the state in and out of the model in each step,
    which takes longer than a convolution on a GPU.
    """
    import jax

    @jax.jit
    def step(trainable, other, inputs):
        def loss(trainable):
            outputs, updated = model.stateless_call(
                trainable, other, inputs, training=True
            )
            return ops.mean(ops.square(outputs)), updated

        gradients, updated = jax.grad(loss, has_aux=True)(trainable)
        trainable = [
            variable - RATE * gradient
            for variable, gradient in zip(trainable, gradients, strict=True)
        ]
        return trainable, updated

    state = jax_state(model)

    def call():
        state[:] = step(*state, inputs)
        return state

    return call


def jax_state(model):
    """Returns the values of the trainable variables and of the others."""
    return [
        [variable.value for variable in model.trainable_variables],
        [variable.value for variable in model.non_trainable_variables],
    ]


def wait_for(result):
    """Waits until the device has computed the result of a call."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        tf.test.experimental.sync_devices()
    elif backend == "jax":
        import jax

        jax.block_until_ready(result)
    else:
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()


def time_in_turns(calls, turns, together, seed):
    """Measures each call in each turn, in a new random order per turn.

    Args:
        calls: Dictionary of functions by name.
        turns: Integer.
        together: Integer, number of calls of one function to time together.
        seed: Integer, seed of the order.

    Returns:
        Dictionary from each name to an array of shape `(turns,)`.
    """
    # The first call compiles.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(lambda call: wait_for(call()), calls.values()))
    for call in calls.values():
        for _ in range(2):
            wait_for(call())

    def run(call):
        for _ in range(together):
            result = call()
        wait_for(result)

    seconds = benchmarking.measure_in_turns(
        {
            name: benchmarking.timed(functools.partial(run, call))
            for name, call in calls.items()
        },
        turns,
        seed,
    )
    return {name: values / together for name, values in seconds.items()}


def peak_memory(call):
    """Returns the peak memory of a call in bytes, or `None` if unknown.

    Only TensorFlow's own allocator reports it; on a CPU, TensorFlow uses that
    allocator if TF_CPU_ALLOCATOR_USE_BFC is true.
    """
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    device = tf.config.list_logical_devices()[-1].name
    try:
        tf.config.experimental.reset_memory_stats(device)
    except (ValueError, tf.errors.InvalidArgumentError):
        return None
    before = tf.config.experimental.get_memory_info(device)["current"]
    wait_for(call())
    return tf.config.experimental.get_memory_info(device)["peak"] - before


def measure(args, shape, modes, other):
    """Measures all models on one shape."""
    images = ops.convert_to_tensor(
        np.random.default_rng(args.seed).normal(
            size=(shape.batch_size, shape.size, shape.size, shape.channels)
        ),
        dtype=keras.config.dtype_policy().compute_dtype,
    )
    affine = frames.affine_from_range((shape.size, shape.size))
    affine = ops.repeat(affine, shape.batch_size, axis=0)
    rows = []
    for mode in modes:
        compile_call = {
            "inference": compile_inference,
            "training": compile_training_step,
            "openvino": compile_openvino,
            "onnxruntime": compile_onnxruntime,
            "tflite": compile_tflite,
        }[mode.split("_")[-1]]
        models = build_models(mode, shape, args.activation, other)
        calls = {
            name: compile_call(
                model, [images, affine] if len(model.inputs) == 2 else images
            )
            for name, model in models.items()
        }
        rows += measure_calls(args, mode, shape, calls)
    return rows


def measure_resnet50(args, mode):
    """Measures a training step of ResNet-50 on images of 224 x 224 pixels."""
    inputs = ops.convert_to_tensor(
        np.random.default_rng(args.seed).normal(
            size=(args.batch_size, 224, 224, 3)
        ),
        dtype=keras.config.dtype_policy().compute_dtype,
    )
    if mode == "resnet50":
        plain = resnet.resnet50("conv")
        models = {
            "conv": plain,
            "coordconv": keras_coordconv.convert_to_coordconv(plain),
        }
    else:
        models = {name: resnet.resnet50(name) for name in resnet.LAYERS}
    calls = {
        name: compile_training_step(model, inputs)
        for name, model in models.items()
    }
    shape = Shape(224, 3, 64, 7, 2, args.batch_size)
    return measure_calls(args, mode, shape, calls)


def measure_calls(args, mode, shape, calls):
    """Measures the times of calls in turns, then their memory."""
    seconds = time_in_turns(calls, args.turns, args.calls_together, args.seed)
    # The order of the operations varies: the minimum is what a step needs,
    # larger values are chance.
    peaks = {
        name: [
            None if mode in RUNTIMES else peak_memory(call)
            for _ in range(args.turns)
        ]
        for name, call in calls.items()
    }
    peaks = {
        name: None if None in values else float(min(values))
        for name, values in peaks.items()
    }
    return [
        {
            "mode": mode,
            "shape": str(shape),
            "model": name,
            "milliseconds": 1e3 * float(np.median(values)),
            "images_per_second": shape.batch_size / float(np.median(values)),
            "ratio": benchmarking.median_ratio(values, seconds["conv"]),
            "ratio_quartiles": np.percentile(
                values / seconds["conv"], [25, 75]
            ).tolist(),
            **(
                {
                    "peak_megabytes": peaks[name] / 1e6,
                    "memory_ratio": peaks[name] / peaks["conv"],
                }
                if peaks["conv"]
                else {}
            ),
        }
        for name, values in seconds.items()
    ]


def summarize(rows, ratio="ratio"):
    """Computes geometric mean and maximum of the ratios, by mode and model."""
    ratios = {}
    for row in rows:
        ratios.setdefault((row["mode"], row["model"]), []).append(row[ratio])
    return {
        key: {
            "geometric_mean": float(np.exp(np.mean(np.log(values)))),
            "maximum": max(values),
        }
        for key, values in ratios.items()
        if key[1] != "conv"
    }


def print_tables(rows):
    print_table(rows, "time", "ratio", "milliseconds", "[ms]")
    measured = [row for row in rows if "memory_ratio" in row]
    print_table(
        measured, "peak memory", "memory_ratio", "peak_megabytes", "[MB]"
    )


def print_table(rows, title, ratio, value, unit):
    summary = summarize(rows, ratio)
    for mode in dict.fromkeys(row["mode"] for row in rows):
        names = [name for found, name in summary if found == mode]
        header = f"{'size, channels, kernel, batch':38s}{'conv ' + unit:>10s}"
        print(f"\n{mode}: {title} relative to conv")
        print(header + "".join(f"{name:>15s}" for name in names))
        for shape in dict.fromkeys(row["shape"] for row in rows):
            found = {
                row["model"]: row
                for row in rows
                if row["mode"] == mode and row["shape"] == shape
            }
            if not found:
                continue
            print(
                f"{shape:38s}{found['conv'][value]:10.2f}"
                + "".join(
                    f"{found[name][ratio]:15.3f}" if name in found else " " * 15
                    for name in names
                )
            )
        for statistic in ("geometric_mean", "maximum"):
            print(
                f"{statistic.replace('_', ' '):48s}"
                + "".join(
                    f"{summary[mode, name][statistic]:15.3f}" for name in names
                )
            )


def build_parser():
    parser = flags.Parser(__doc__)
    benchmarking.add_flags(parser, NAME, turns=31)
    parser.add_argument(
        "--calls-together",
        type=flags.positive_integer,
        default=1,
        help="number of calls of one model to time together, without waiting "
        "in between; use 20 on a GPU, where a call of a small model takes less "
        "time than starting the next one (default: %(default)s)",
    )
    parser.add_argument(
        "--shapes",
        nargs="+",
        type=int,
        choices=range(1, len(SHAPES) + 1),
        default=list(range(1, len(SHAPES) + 1)),
        metavar="NUMBER",
        help=f"shapes to measure, of 1 to {len(SHAPES)} (default: all)",
    )
    parser.add_argument(
        "--modes",
        nargs="+",
        choices=MODES,
        default=("inference", "training"),
        help="what to measure: frame_inference and frame_training have "
        "coordinates that differ by example; encoding_inference has 32 folded "
        "bands; resnet50 is a training step of ResNet-50 with a CoordConv as "
        "its first layer, resnet50_stem with the paper's CoordConv, or a plain "
        "1x1 convolution, in front of it (default: inference training)",
    )
    parser.add_argument(
        "--runtime",
        nargs="+",
        choices=RUNTIMES,
        help="run exported models in these runtimes, in place of --modes "
        "(default: none)",
    )
    parser.add_argument(
        "--batch-size",
        type=flags.positive_integer,
        default=16,
        help="images per step of ResNet-50 (default: %(default)s)",
    )
    parser.add_argument(
        "--other",
        metavar="FOLDER",
        help="folder with another version of the package, to compare with in "
        "the modes inference and training (default: none)",
    )
    parser.add_argument(
        "--activation",
        choices=("relu", "gelu", "tanh"),
        help="activation of the convolutions (default: none)",
    )
    parser.add_argument(
        "--dtype-policy",
        type=flags.dtype_policy,
        default="float32",
        help="Keras dtype policy, such as bfloat16 (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=flags.seed,
        default=0,
        help="seed of the inputs and of the order (default: %(default)s)",
    )
    return parser


@command
def main(argv=None):
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.other and not {"inference", "training"} & {*args.modes}:
        parser.error(
            "--other has no effect here: it applies only to the modes "
            "inference and training"
        )
    if args.runtime:
        args.modes = args.runtime
        if keras.backend.backend() != "tensorflow" or args.other:
            parser.error(
                "--runtime requires the TensorFlow backend, and has no --other"
            )
    package = pathlib.Path(args.other or ".", NAME_OF_PACKAGE, "__init__.py")
    if args.other and not package.is_file():
        parser.error(
            f"--other must be a folder with the package. Received: {args.other}"
        )
    output = benchmarking.make_output(args)
    keras.config.set_dtype_policy(args.dtype_policy)
    keras.utils.set_random_seed(args.seed)
    other = import_other(args.other) if args.other else None
    rows = []
    shapes = [SHAPES[number - 1] for number in args.shapes]
    modes = [mode for mode in args.modes if mode not in RESNET50_MODES]
    for index, shape in enumerate(shapes if modes else (), start=1):
        print(f"shape {index}/{len(shapes)}: {shape}", flush=True)
        rows += measure(args, shape, modes, other)
    for mode in args.modes:
        if mode in RESNET50_MODES:
            print(mode, flush=True)
            rows += measure_resnet50(args, mode)
    print_tables(rows)
    print()
    results = benchmarking.write_results(
        output,
        args,
        rows,
        summary={
            f"{mode}_{name}": values
            for (mode, name), values in summarize(rows).items()
        },
    )
    on_shapes = [row for row in rows if row["mode"] not in RESNET50_MODES]
    if on_shapes:
        _files.write_figure(
            output / "chart.png", plots.plot_benchmark(on_shapes)
        )
        print(f"written: {output / 'chart.png'}")
    return results


if __name__ == "__main__":
    main()
