"""In every way of running, a layer gives the numbers of plain NumPy.

`hypothesis` draws what the layers are given, several layers at once, since what
costs time is to trace, compile and export. A failure names each setting that
failed in one line: paste it into `REMEMBERED` to try it in all ways.
"""

import random
from itertools import count
from itertools import islice

import hypothesis
import keras
import layer_settings
import pytest
import ways_to_run
from hypothesis import strategies as st
from layer_groups import Group
from layer_settings import Setting
from layer_settings import has_gradients
from layer_settings import has_gradients_without_xla
from layer_settings import runs_on_small_runtimes
from layer_settings import runs_without_xla

from keras_coordconv import fold_coordinates
from keras_coordconv.layers import frame_layer

needs_tensorflow = pytest.mark.tensorflow_backend
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
ON_PYTORCH = keras.backend.backend() == "torch"

# What failed once, and one of each form that a layer can take inside.
REMEMBERED = [
    # One filter on one column.
    Setting("CoordConv1D", {"filters": 1, "kernel_size": (3,)}, (17, 3)),
    Setting(
        "CoordConv2D",
        {"filters": 1, "kernel_size": (3, 3), "padding": "same"},
        (9, 1, 3),
    ),
    Setting("CoordConv2D", {"filters": 1, "kernel_size": (1, 1)}, (9, 1, 3)),
    Setting(
        "CoordConv2D",
        {"filters": 1, "kernel_size": (1, 1), "use_bias": False},
        (9, 1, 3),
    ),
    Setting(
        "CoordSeparableConv1D", {"filters": 1, "kernel_size": (2,)}, (8, 3)
    ),
    # With the channels first, as many filters as columns.
    Setting(
        "CoordConv2D",
        {
            "filters": 32,
            "kernel_size": (1, 1),
            "data_format": "channels_first",
        },
        (16, 2, 32),
    ),
    Setting(
        "CoordDepthwiseConv1D",
        {"kernel_size": (1,), "data_format": "channels_first"},
        (2, 3),
    ),
    Setting(
        "CoordConv1D",
        {
            "filters": 2,
            "kernel_size": (3,),
            "padding": "causal",
            "use_radius": True,
        },
        (7, 3),
    ),
    # Large maps, whose coordinates are taken axis by axis.
    Setting("CoordConv2D", {"filters": 2, "kernel_size": (3, 2)}, (64, 65, 2)),
    Setting(
        "CoordConv2D",
        {
            "filters": 2,
            "kernel_size": (4, 3),
            "padding": "same",
            "strides": (3, 2),
            "coordinate_range": ((3, -1), (0, 2)),
        },
        (64, 66, 2),
    ),
    Setting(
        "CoordConv2D",
        {
            "filters": 2,
            "kernel_size": (1, 3),
            "padding": "same",
            "dilation_rate": (1, 2),
        },
        (1, 4100, 2),
    ),
    Setting(
        "CoordConv3D",
        {"filters": 2, "kernel_size": (1, 3, 2), "groups": 2},
        (16, 17, 16, 2),
    ),
    # Twice as many filters as channels, and many of both.
    Setting("CoordConv2D", {"filters": 33, "kernel_size": (1, 1)}, (3, 4, 16)),
    # Coordinates that come with each example.
    Setting(
        "CoordConv2D",
        {"filters": 2, "kernel_size": (3, 3)},
        (64, 65, 2),
        frame="affine",
        count=2,
    ),
    Setting(
        "CoordConv2D",
        {"filters": 2, "kernel_size": (3, 3), "padding": "same"},
        (5, 6, 17),
        frame="affine",
        count=2,
    ),
    Setting(
        "CoordConv2D",
        {"filters": 33, "kernel_size": (1, 1)},
        (3, 4, 16),
        frame="affine",
        count=2,
    ),
    # A position at the very point that the radius is measured from.
    Setting(
        "CoordConv1D",
        {"filters": 1, "kernel_size": (2,), "use_radius": True},
        (3, 2),
        frame="affine",
        count=1,
    ),
    # The middle, from which the radius is measured, moves with the frame.
    Setting(
        "CoordinateChannel3D",
        {"use_radius": True},
        (2, 3, 1, 2),
        frame="affine",
        count=3,
    ),
]


def for_all_groups(check, examples, supported, **choices):
    """Calls a check with groups of layers.

    Args:
        check: Function of a `Group`.
        examples: Integer, the number of groups to draw; 0 takes `REMEMBERED`.
        supported: Function from a setting to a boolean: those to draw on the
            TensorFlow backend.
        choices: Further arguments of `layer_settings.settings`.
    """
    settings = layer_settings.settings(**choices)
    remembered = REMEMBERED
    if ON_TENSORFLOW:
        settings = settings.filter(supported)
        remembered = [*filter(supported, remembered)]

    def run(batch, settings):
        try:
            check_group(batch, settings)
        except AssertionError:
            raise
        except Exception:
            # Which one raised it?
            for setting in settings:
                check_group(batch, [setting])
            raise

    def check_group(batch, settings):
        keras.utils.clear_session(free_memory=False)
        try:
            check(Group(batch, settings))
        except Exception as error:
            error.add_note(f"batch {batch} of {settings}")
            raise

    if not examples:
        run(2, remembered)
    draw_and_run = hypothesis.given(
        st.integers(1, 3),
        st.lists(settings, min_size=6, max_size=6, unique_by=repr),
    )(hypothesis.settings(database=None)(run))
    # Random bytes of our own: what hypothesis draws by itself depends on the
    # modules that are loaded. `None` is returned for bytes that give no group.
    run_on_bytes = draw_and_run.hypothesis.fuzz_one_input
    random_bytes = (random.Random(seed).randbytes(5000) for seed in count())
    groups = filter(None, map(run_on_bytes, random_bytes))
    for _ in islice(groups, examples):
        pass


def group_counts(quick, thorough, many):
    """Few groups by default, more with `-m slow`, many with `-m long`."""
    return pytest.mark.parametrize(
        "examples",
        [
            quick,
            pytest.param(0, marks=pytest.mark.slow),
            pytest.param(thorough, marks=pytest.mark.slow),
            pytest.param(many, marks=pytest.mark.long),
        ],
    )


def everything(setting):
    return True


def test_swapped_axes_would_be_seen(monkeypatch):
    features = frame_layer.features_of_range
    monkeypatch.setattr(
        frame_layer,
        "features_of_range",
        lambda *args: keras.ops.flip(features(*args), axis=-1),
    )
    setting = Setting(
        "CoordConv2D", {"filters": 2, "kernel_size": (1, 1)}, (6, 9, 3)
    )
    with pytest.raises(AssertionError):
        Group(1, [setting]).check_outputs(ways_to_run.eager)


@group_counts(5, 20, 500)
def test_outputs(examples):
    def check(group):
        if ON_TENSORFLOW:
            ways = [
                ways_to_run.eager,
                ways_to_run.function,
                ways_to_run.function_of_unknown_sizes,
                ways_to_run.predict,
            ]
        else:
            ways = [ways_to_run.eager if ON_PYTORCH else ways_to_run.jit]
        for way in ways:
            group.check_outputs(way)

    for_all_groups(check, examples, runs_without_xla)


@pytest.mark.skipif(ON_TENSORFLOW or ON_PYTORCH, reason="test_outputs does it")
@group_counts(1, 2, 30)
def test_outputs_eager(examples):
    # Few: JAX compiles every operation by itself, for seconds a layer.
    for_all_groups(
        lambda group: group.check_outputs(ways_to_run.eager),
        examples,
        everything,
    )


@needs_tensorflow
@group_counts(1, 4, 100)
def test_outputs_compiled(examples):
    for_all_groups(
        lambda group: group.check_outputs(ways_to_run.jit_compiled_function),
        examples,
        everything,
    )


@needs_tensorflow
@group_counts(1, 4, 100)
def test_outputs_of_a_saved_model(examples):
    for_all_groups(
        lambda group: group.check_outputs(ways_to_run.saved_model),
        examples,
        runs_without_xla,
    )


@group_counts(1, 2, 100)
def test_outputs_of_the_folded_model(examples):
    def check(group):
        folded = fold_coordinates(group.model)
        ways = [ways_to_run.predict]
        if ON_TENSORFLOW:
            ways.append(ways_to_run.saved_model)
        for way in ways:
            group.check_outputs(way, folded)

    for_all_groups(
        check,
        examples,
        runs_without_xla,
        # The others stay as they are.
        layers=[
            name
            for name in layer_settings.LAYERS
            if name.startswith(("CoordConv", "CoordSeparable"))
        ],
        unknown_sizes=False,
        frames=(None,),
    )


@needs_tensorflow
@group_counts(1, 2, 30)
def test_outputs_of_tflite(examples):
    for_all_groups(
        lambda group: group.check_outputs(ways_to_run.tflite),
        examples,
        runs_on_small_runtimes,
        dtypes=["float32"],
        data_formats=["channels_last"],
    )


@needs_tensorflow
@group_counts(1, 2, 30)
def test_outputs_of_onnx_runtime(examples):
    for package in ("onnx", "tf2onnx", "onnxruntime"):
        pytest.importorskip(package)
    for_all_groups(
        lambda group: group.check_outputs(ways_to_run.onnx_runtime),
        examples,
        runs_on_small_runtimes,
        dtypes=["float32"],
        data_formats=["channels_last"],
    )


@group_counts(2, 8, 340)
def test_gradients(examples):
    run = {
        "tensorflow": ways_to_run.graph_gradients,
        "jax": ways_to_run.jit_gradients,
        "torch": ways_to_run.torch_gradients,
    }[keras.backend.backend()]
    for_all_groups(
        lambda group: group.check_gradients(run),
        examples,
        has_gradients_without_xla,
    )


@needs_tensorflow
@group_counts(1, 4, 100)
def test_gradients_compiled(examples):
    for_all_groups(
        lambda group: group.check_gradients(ways_to_run.jit_compiled_gradients),
        examples,
        has_gradients,
    )
