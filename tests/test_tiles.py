"""Whole images from tiles: equal to the model on the whole image."""

import json
import pathlib
import re
import subprocess
import sys
from fractions import Fraction

import hypothesis
import keras
import numpy as np
import pytest
import tile_models
from hypothesis import strategies as st
from keras import layers
from keras import ops

import keras_coordconv
from keras_coordconv import convert_to_coordconv
from keras_coordconv import predict_in_tiles
from keras_coordconv import receptive_field

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"


def whole(model, images, affine=None):
    """The model's outputs for the whole image, as a flat list."""
    inputs = [image[None] for image in images]
    if affine is not None:
        inputs.append(affine)
    if isinstance(model, keras.Function) and isinstance(model.input, dict):
        keys = {id(tensor): key for key, tensor in model.input.items()}
        inputs = {
            keys[id(tensor)]: value
            for tensor, value in zip(model.inputs, inputs, strict=True)
        }
    elif len(inputs) == 1:
        (inputs,) = inputs
    outputs = model.predict_on_batch(inputs)
    return [output[0] for output in keras.tree.flatten(outputs)]


def check(model, size, *tile_sizes, batch_size=1):
    images, affine = tile_models.random_images(model, size)
    expected = whole(model, images, affine)
    for tile_size in tile_sizes:
        found = predict_in_tiles(
            model,
            images if len(images) > 1 else images[0],
            tile_size,
            affine,
            batch_size=batch_size,
            verbose=False,
        )
        for one, other in zip(keras.tree.flatten(found), expected, strict=True):
            assert one.shape == other.shape and one.dtype == other.dtype
            scale = abs(other).max()
            assert scale > 0.1
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * scale)


def smallest_tile_size(model, size):
    images, affine = tile_models.random_images(model, size)
    images = images if len(images) > 1 else images[0]
    with pytest.raises(ValueError, match="Received: tile_size=0") as error:
        predict_in_tiles(model, images, 0, affine)
    (numbers,) = re.findall(r"at least \(([\d, ]+)\)", str(error.value))
    return tuple(map(int, re.findall(r"\d+", numbers)))


@pytest.mark.parametrize(
    "make_model", tile_models.MODELS, ids=lambda make: make.__name__
)
def test_tiles_are_the_whole(make_model):
    """In the smallest tiles, in larger ones, and in one that is larger."""
    model = tile_models.randomize(make_model())
    size, tile_size = tile_models.MODELS[make_model]
    smallest = smallest_tile_size(model, size)
    assert all(np.less(smallest, size)) and all(np.less(smallest, tile_size))
    check(model, size, tile_size, 500, batch_size=3)
    check(model, size, smallest, batch_size=4)


@pytest.mark.skipif(ON_TENSORFLOW, reason="no such convolutions on a CPU")
def test_channels_first():
    model = tile_models.randomize(tile_models.unet(channels_first=True))
    check(model, (60, 92), (44, 48))


# What their layers see is wider than the images of the tests above.
@pytest.mark.slow
@pytest.mark.parametrize("affine", [False, True])
def test_a_converted_application(affine):
    trained = keras.applications.MobileNetV2(
        input_shape=(None, None, 3), include_top=False, weights=None, alpha=0.35
    )
    model = convert_to_coordconv(trained, "first", affine=affine)
    tile_models.randomize(model)
    check(model, (672, 608), 576)


@pytest.mark.slow
def test_the_body_of_resnet50():
    body = keras.applications.ResNet50(
        include_top=False, weights=None, input_shape=(None, None, 3)
    )
    model = convert_to_coordconv(tile_models.randomize(body))
    check(model, (576, 736), 544)


@st.composite
def random_graphs(draw):
    """A model, the size of its image, and a size of tiles."""
    rank = draw(st.sampled_from([1, 1, 2]))
    largest = 2 if rank == 2 else 3
    size = tuple(
        draw(st.integers(150, 170) if rank == 1 else st.integers(50, 56))
        for _ in range(rank)
    )

    def per_axis(values):
        return tuple(draw(values) for _ in range(rank))

    def make(name, *args, **kwargs):
        package = keras_coordconv if name.startswith("Coord") else layers
        return getattr(package, name.format(rank))(*args, **kwargs)

    image = keras.Input((*size, 2))
    # Maps by the distance of their positions.
    maps = [(image, (Fraction(1),) * rank)]
    for _ in range(draw(st.integers(2, 6))):
        number = draw(st.integers(max(0, len(maps) - 3), len(maps) - 1))
        x, steps = maps[number]
        kind = draw(
            st.sampled_from(
                [
                    *("conv", "conv", "strided", "pooled", "transposed"),
                    *("upsampled", "padded", "cropped", "merged", "merged"),
                ]
            )
        )
        padding = draw(st.sampled_from(["same", "valid"]))
        kernel_size = per_axis(st.integers(1, 4))
        strides = draw(st.integers(2, largest))
        times = (Fraction(strides),) * rank
        coord = draw(st.sampled_from(["", "Coord"]))
        if kind == "conv":
            x = make(
                coord + "Conv{}D",
                2,
                kernel_size,
                padding=padding,
                dilation_rate=draw(st.integers(1, 3)),
            )(x)
            times = (1,) * rank
        elif kind == "strided":
            x = make(coord + "Conv{}D", 2, kernel_size, strides, padding)(x)
        elif kind == "pooled":
            pool = draw(st.sampled_from(["Max", "Average"])) + "Pooling{}D"
            x = make(pool, max(kernel_size), strides, padding=padding)(x)
        elif kind == "transposed":
            name = coord + "Conv{}DTranspose"
            x = make(name, 2, kernel_size, strides, padding)(x)
            times = (Fraction(1, strides),) * rank
        elif kind == "upsampled":
            x = make("UpSampling{}D", strides)(x)
            times = (Fraction(1, strides),) * rank
        elif kind == "merged":
            others = [m for m in maps if m[0].shape == x.shape]
            other, own_steps = draw(st.sampled_from(others))
            if own_steps == steps:
                x = layers.add([x, other]) * 0.5
            times = (1,) * rank
        else:
            name = "ZeroPadding{}D" if kind == "padded" else "Cropping{}D"
            ends = tuple(
                (draw(st.integers(0, 3)), draw(st.integers(0, 3)))
                for _ in range(rank)
            )
            x = make(name, ends[0] if rank == 1 else ends)(x)
            times = (1,) * rank
        if min(x.shape[1:-1]) < 8 or max(x.shape[1:-1]) > 500:
            continue
        steps = tuple(a * b for a, b in zip(steps, times, strict=True))
        maps.append((x, steps))
    outputs = [maps[-1][0], draw(st.sampled_from(maps))[0]]
    model = keras.Model(image, outputs if outputs[0] is not outputs[1] else x)
    return model, size, draw(st.integers(0, 30))


# Layers draw their names and seeds.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
@pytest.mark.parametrize("count", [6, pytest.param(60, marks=pytest.mark.slow)])
def test_random_graphs(count):
    tiled = []

    @hypothesis.settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(random_graphs())
    def run(drawn):
        model, size, more = drawn
        keras.utils.clear_session(free_memory=False)
        tile_models.randomize(model)
        smallest = smallest_tile_size(model, size)
        check(model, size, tuple(n + more for n in smallest), batch_size=4)
        tiled.append(smallest != size)

    run()
    assert sum(tiled) > 0.6 * count


@pytest.mark.parametrize("seed", range(12))
def test_the_receptive_field_is_what_is_seen(seed):
    """Which pixels change an output, in the middle of the image."""
    draw = np.random.default_rng(seed)
    size = 96
    image = keras.Input((size, 1))
    x = image
    candidates = [
        lambda: layers.Conv1D(1, 3, 2, padding="same"),
        lambda: layers.Conv1D(1, 4, dilation_rate=2),
        lambda: layers.AveragePooling1D(3, 2),
        lambda: layers.ZeroPadding1D((2, 1)),
        lambda: layers.Conv1DTranspose(1, 4, 2, padding="same"),
        lambda: layers.UpSampling1D(2),
        lambda: keras_coordconv.CoordConv1D(1, 2, padding="causal"),
    ]
    widened = False
    for number in draw.choice(len(candidates), 4):
        layer = candidates[number]()
        x = layer(x)
        widened |= isinstance(
            layer, (layers.UpSampling1D, layers.Conv1DTranspose)
        )
    branch = layers.Conv1D(1, 5, padding="same")(x)
    model = keras.Model(image, layers.add([x, branch]))
    for weight in model.weights:
        weight.assign(np.full(weight.shape, float(weight.name != "bias")))
    nothing = ops.convert_to_numpy(model(np.zeros((1, size, 1))))[..., 0]
    seen = ops.convert_to_numpy(model(np.eye(size)[..., None]))[..., 0]
    seen = abs(seen - nothing) > 1e-3
    field = receptive_field(model, model.layers[-1])
    (length,), (stride,), (start,) = field
    outputs = seen.shape[1]
    middle = range(outputs // 3, 2 * outputs // 3)
    extents = []
    # Neighbors that come from one position before see the same.
    blur = 2.5 if widened else 0
    for output in middle:
        pixels = np.flatnonzero(seen[:, output])
        extents.append(pixels[-1] - pixels[0] + 1)
        begin = start + stride * output
        assert begin - blur <= pixels[0]
        assert pixels[-1] <= begin + length - 1 + blur
    assert max(extents) == length


def test_receptive_fields_by_hand():
    image = keras.Input((None, None, 3))
    x = layers.Conv2D(2, 3, name="first")(image)
    inner = keras.Sequential(
        [keras.Input((None, None, 2)), layers.MaxPooling2D(2, name="pool")]
    )
    x = layers.Conv2D(2, (3, 1), padding="same", name="second")(inner(x))
    mean = layers.GlobalAveragePooling2D(keepdims=True, name="mean")(x)
    scaled = layers.multiply([x, mean], name="scaled")
    model = keras.Model(image, [scaled, x])
    assert receptive_field(model, "first") == ((3, 3), (1, 1), (0, 0))
    assert receptive_field(model, "pool") == ((4, 4), (2, 2), (0, 0))
    second = ((8, 4), (2, 2), (-2, 0))
    assert receptive_field(model, "second") == second
    assert receptive_field(model, model.get_layer("second")) == second
    with pytest.raises(ValueError, match=r"field: mean .*image.*layer=.scaled"):
        receptive_field(model, "scaled")
    with pytest.raises(ValueError, match="Received: layer='third'"):
        receptive_field(model, "third")


class Sliceable:
    """What memory maps, zarr and h5py have in common."""

    def __init__(self, array):
        self.array, self.shape, self.largest = array, array.shape, 0

    def __getitem__(self, slices):
        part = self.array[slices]
        self.largest = max(self.largest, part.size)
        return part


def test_from_what_can_be_sliced_into_an_array_on_disk(tmp_path):
    model = tile_models.randomize(tile_models.pyramid())
    images, _ = tile_models.random_images(model, (96, 136))
    source = Sliceable(images[0])
    output = {
        name: np.lib.format.open_memmap(
            str(tmp_path / f"{name}.npy"), "w+", "float32", shape
        )
        for name, shape in {
            "stride_2": (48, 68, 2),
            "stride_4": (24, 34, 2),
            "stride_8": (12, 17, 2),
        }.items()
    }
    found = predict_in_tiles(
        model, source, 72, output=output, batch_size=2, verbose=False
    )
    assert found is output
    assert source.largest == 72 * 72 * 3
    expected = whole(model, images)
    for array, other in zip(keras.tree.flatten(output), expected, strict=True):
        np.testing.assert_allclose(array, other, rtol=0, atol=1e-5)


def test_integers_and_half_precision():
    """The model converts its input itself; outputs keep their dtype."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    image = keras.Input((None, None, 3), dtype="uint8")
    x = layers.Rescaling(1 / 255)(image)
    x = keras_coordconv.CoordConv2D(4, 3, coordinate_range="pixel")(x)
    model = keras.Model(image, layers.Activation("linear", dtype="float32")(x))
    tile_models.randomize(model)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), "uint8")
    found = predict_in_tiles(model, pixels, 24, verbose=False)
    (expected,) = whole(model, [pixels])
    # The inputs' part is rounded, in each tile as in the whole.
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.2)


def test_a_progress_bar(capsys):
    model = tile_models.dilated()
    images, _ = tile_models.random_images(model, (86, 54))
    predict_in_tiles(model, images[0], 40, verbose=False)
    assert not capsys.readouterr().out
    predict_in_tiles(model, images[0], 40)
    assert "/tile" in capsys.readouterr().out


def test_the_model_stays_as_it_is():
    model = tile_models.randomize(tile_models.coordconv_everywhere())
    config, nodes = model.get_config(), len(model.layers[1]._inbound_nodes)
    check(model, (37, 60), 21)
    check(model, (41, 33), 25)
    assert model.get_config() == config
    assert len(model.layers[1]._inbound_nodes) == nodes


@keras.saving.register_keras_serializable("tests")
class OwnConv(layers.Conv2D):
    def call(self, inputs):
        mean = ops.mean(inputs, axis=(1, 2), keepdims=True)
        return super().call(inputs - mean)


IMAGE = np.zeros((32, 32, 4), "float32")


def own_activation(x):
    return x / ops.max(x, axis=(1, 2), keepdims=True)


@pytest.mark.parametrize(
    ("make_layer", "message"),
    [
        (lambda: layers.GlobalAveragePooling2D(keepdims=True), "GlobalAverage"),
        (lambda: layers.GroupNormalization(2), "GroupNormalization"),
        (lambda: layers.Reshape((16, 64, 4)), "Reshape"),
        (lambda: layers.Permute((2, 1, 3)), "Permute"),
        (lambda: layers.Flatten(), "Flatten"),
        (lambda: layers.Resizing(64, 64), "Resizing"),
        (lambda: layers.Lambda(lambda x: x), "Lambda"),
        (lambda: layers.RandomTranslation(0.1, 0.1), "RandomTranslation"),
        (lambda: OwnConv(4, 3), "OwnConv"),
        (lambda: layers.LayerNormalization(axis=(1, 2, 3)), r"axis=\[1, 2, 3"),
        (lambda: layers.BatchNormalization(axis=1), "axis=1, which is not"),
        (lambda: layers.Softmax(axis=2), "axis=2, which is not"),
        (lambda: layers.PReLU(), "positions of a single image size"),
        (lambda: layers.Conv2D(4, 3, activation=own_activation), "activation"),
        (lambda: layers.Activation(layers.Lambda(ops.tanh)), "activation"),
        (lambda: keras_coordconv.SoftArgmax2D(), "SoftArgmax2D"),
        (lambda: lambda x: x + IMAGE[None], "positions of a single image size"),
        (lambda: lambda x: ops.mean(x, axis=1, keepdims=True), "Mean"),
        (lambda: lambda x: x[:, 2:], "GetItem"),
        (lambda: lambda x: layers.Attention()([x, x]), "Attention"),
        (
            lambda: lambda x: layers.BatchNormalization()(x, training=True),
            "training=True",
        ),
        (
            lambda: lambda x: layers.concatenate([x, x], axis=1),
            "axis=1, which is not",
        ),
        (
            lambda: lambda x: layers.multiply([x, layers.MaxPooling2D(32)(x)]),
            "different sizes or strides",
        ),
        (
            lambda: (
                lambda x: layers.add(
                    [layers.ZeroPadding2D(16)(x), layers.UpSampling2D()(x)]
                )
            ),
            "different sizes or strides",
        ),
        (
            lambda: (
                lambda x: keras_coordconv.CoordConv2D(2, 1)(
                    x, affine=np.ones((1, 2, 3))
                )
            ),
            "positions of a single image size",
        ),
    ],
)
def test_what_cannot_be_tiled_is_refused_by_name(make_layer, message):
    image = keras.Input(IMAGE.shape)
    x = layers.Conv2D(4, 1)(image)
    x = layers.ReLU()(make_layer()(x))
    model = keras.Model(image, x)
    with pytest.raises(ValueError, match=f"applied to tiles: .*{message}"):
        predict_in_tiles(model, Sliceable(IMAGE), 16)


def test_a_radius_from_the_middle_of_a_frame():
    image, affine = keras.Input((9, 9, 1)), keras.Input((2, 3), name="affine")
    conv = keras_coordconv.CoordConv2D(1, 1, use_radius=True)
    model = keras.Model([image, affine], conv(image, affine=affine))
    with pytest.raises(ValueError, match="set its `radius_center`"):
        predict_in_tiles(model, np.zeros((9, 9, 1)), 8, np.ones((1, 2, 3)))


def test_folded_models():
    image = keras.Input((32, 32, 3))
    model = keras.Model(image, keras_coordconv.CoordConv2D(2, 3)(image))
    folded = keras_coordconv.fold_coordinates(model)
    with pytest.raises(ValueError, match=r"position_bias \(PositionBias\)"):
        predict_in_tiles(folded, np.zeros((32, 32, 3)), 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": np.zeros((1, 40, 40, 2))}, r"shapes \{.*\(1, 40, 40, 2\)"),
        ({"image": np.zeros((40, 40, 3))}, "an array without a batch axis"),
        ({"image": [np.zeros((40, 40, 2))] * 2}, "an array without a batch"),
        ({"image": {"other": np.zeros((40, 40, 2))}}, ", inputs "),
        ({"affine": None}, "Received: affine=None for a model"),
        ({"affine": np.zeros((1, 3, 4))}, r"Received: shape \(1, 3, 4\)"),
        ({"affine": np.zeros((2, 3, 3))}, "for a batch of 1"),
        ({"tile_size": 8}, r"must be at least \(\d+, \d+\) for this model"),
        ({"tile_size": (40, 8)}, r"Received: tile_size=\(40, 8\)"),
        ({"tile_size": (40, 40, 40)}, "tile_size="),
        ({"output": np.zeros((40, 40, 3))}, "for each output of the model"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_bad_arguments(arguments, message):
    model = tile_models.frames_of_calls()
    good = {
        "image": np.zeros((40, 40, 2)),
        "tile_size": 40,
        "affine": np.zeros((1, 3, 3)),
        "verbose": False,
    }
    predict_in_tiles(model, **good)
    with pytest.raises(ValueError, match=message):
        predict_in_tiles(model, **(good | arguments))


def test_an_affine_for_a_model_without():
    model = tile_models.dilated()
    with pytest.raises(ValueError, match="only if"):
        predict_in_tiles(model, np.zeros((8, 8, 3)), 8, np.zeros((1, 2, 3)))


MEASURE = """
import json, resource, sys, time
import numpy as np, tile_models
from keras_coordconv import predict_in_tiles

size, way = 4096, sys.argv[1]
model = tile_models.unet()
image = np.zeros((size, size, 3), "float32")

def run(image, tile_size):
    if way == "whole":
        return model.predict_on_batch(image[None])
    return predict_in_tiles(model, image, tile_size, verbose=False)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

run(image[:512, :512], 256)
before, start = peak(), time.perf_counter()
run(image, 512)
print(json.dumps([peak() - before, time.perf_counter() - start]))
"""


@pytest.mark.slow
@pytest.mark.tensorflow_backend
def test_memory_and_time():
    """In processes of their own: the peak of what the call adds, seconds."""
    folder = pathlib.Path(__file__).parent
    memory, seconds = {}, {}
    for way in ("whole", "tiles"):
        result = subprocess.run(
            [sys.executable, "-c", MEASURE, way],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
        memory[way], seconds[way] = json.loads(result.stdout.splitlines()[-1])
    print(f"megabytes: {memory}, seconds: {seconds}")
    assert memory["tiles"] <= memory["whole"] / 8
    assert seconds["tiles"] <= 1.3 * seconds["whole"]
