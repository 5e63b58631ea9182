"""Any preprocessing layer: each pixel keeps its coordinates in the world."""

import inspect

import hypothesis
import hypothesis.strategies as st
import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

import keras_coordconv
from keras_coordconv import CoordAugmentation

TOLERANCE = 1e-5  # of the extent of the world
CONSTANT = {"fill_mode": "constant"}
LAYERS = {
    "center crop": (layers.CenterCrop, {"height": 9, "width": 12}),
    "center crop of a small image": (
        layers.CenterCrop,
        {"height": 24, "width": 15},
    ),
    "crop": (layers.RandomCrop, {"height": 9, "width": 12}),
    "crop of a small image": (layers.RandomCrop, {"height": 24, "width": 30}),
    "crop of a low image": (layers.RandomCrop, {"height": 24, "width": 10}),
    "crop of a narrow image": (layers.RandomCrop, {"height": 10, "width": 30}),
    "flip": (layers.RandomFlip, {}),
    "horizontal flip": (layers.RandomFlip, {"mode": "horizontal"}),
    "vertical flip": (layers.RandomFlip, {"mode": "vertical"}),
    "rotation": (layers.RandomRotation, {"factor": 0.2, **CONSTANT}),
    "shear": (
        layers.RandomShear,
        {"x_factor": 0.3, "y_factor": 0.2, **CONSTANT},
    ),
    "translation": (
        layers.RandomTranslation,
        {"height_factor": 0.3, "width_factor": (0.1, 0.4), **CONSTANT},
    ),
    "zoom": (layers.RandomZoom, {"height_factor": 0.3, **CONSTANT}),
    "zoom of each axis": (
        layers.RandomZoom,
        {"height_factor": (-0.4, 0.2), "width_factor": 0.3, **CONSTANT},
    ),
    "resizing": (layers.Resizing, {"height": 11, "width": 28}),
    "resizing after a crop": (
        layers.Resizing,
        {"height": 11, "width": 28, "crop_to_aspect_ratio": True},
    ),
    "resizing after vertical padding": (
        layers.Resizing,
        {"height": 28, "width": 11, "pad_to_aspect_ratio": True},
    ),
    "resizing after horizontal padding": (
        layers.Resizing,
        {"height": 8, "width": 40, "pad_to_aspect_ratio": True},
    ),
}
SIZE = (17, 22)


def make(name, seed=1, **arguments):
    kind, own = LAYERS[name]
    if "seed" in inspect.signature(kind).parameters:
        arguments["seed"] = seed
    return kind(**own, **arguments)


def world(size=SIZE, batch=3, seed=0, data_format="channels_last", **kwargs):
    """Images of three channels: two coordinates of each pixel, and ones."""
    random = np.random.default_rng(seed)
    affine = random.normal(size=(batch or 1, 2, 3)) * [1.0, 1.0, 9.0]
    index = np.stack(np.indices(size), axis=-1)
    images = np.einsum("bdr,hwr->bhwd", affine[..., :2], index)
    images += affine[:, None, None, :, 2]
    images = np.concatenate([images, np.ones((*images.shape[:3], 1))], axis=-1)
    if data_format == "channels_first":
        images = np.moveaxis(images, -1, 1)
    data = {"images": images.astype("float32"), "affine": affine}
    return {key: value if batch else value[0] for key, value in data.items()}


def more_data(batch=3, data_format="channels_last"):
    """World with labels, boxes and masks."""
    random = np.random.default_rng(0)
    masks = random.integers(0, 5, (batch, *SIZE, 1)).astype("int32")
    if data_format == "channels_first":
        masks = np.moveaxis(masks, -1, 1)
    return {
        **world(batch=batch, data_format=data_format),
        "labels": random.random((batch, 4)).astype("float32"),
        "segmentation_masks": masks,
        "bounding_boxes": {
            "boxes": np.tile(
                np.array([[2, 3, 15, 16], [5, 1, 9, 9]], "float32"),
                (batch, 1, 1),
            ),
            "labels": random.integers(0, 5, (batch, 2)).astype("int32"),
        },
    }


def take(data, index):
    return keras.tree.map_structure(lambda x: x[index], data)


def channels_last(images, data_format):
    images = ops.convert_to_numpy(images)
    if data_format == "channels_first":
        images = np.moveaxis(images, -3, -1)
    return np.array(images)


def drop_border(data, data_format="channels_last", width=2):
    """Marks the pixels that repeat the edge of an image that was enlarged."""
    images = channels_last(data["images"], data_format)
    inner = np.zeros(images.shape[-3:-1])
    inner[width:-width, width:-width] = 1
    images[..., 2] *= inner
    if data_format == "channels_first":
        images = np.moveaxis(images, -1, -3)
    return {**data, "images": images}


def check(data, data_format="channels_last", needs_pixels=True):
    """Compares the images with the coordinates of their frames."""
    images = channels_last(data["images"], data_format)
    affine = ops.convert_to_tensor(data["affine"])
    assert keras.backend.standardize_dtype(affine.dtype) == "float32"
    if images.ndim == 3:
        images, affine = images[None], affine[None]
    assert affine.shape[0] in (1, len(images))
    grid = keras_coordconv.coordinate_grid(images.shape[1:3], affine=affine)
    grid = np.broadcast_to(ops.convert_to_numpy(grid), images[..., :2].shape)
    # Elsewhere, they show some of what fills the borders.
    shows_the_world = images[..., 2] > 1 - 1e-6
    assert shows_the_world.any() or not needs_pixels
    error = np.abs(images[..., :2] - grid)[shows_the_world]
    assert np.all(error <= TOLERANCE * np.abs(images).max())


def resizes(layer):
    return hasattr(layer, "height")


@pytest.mark.parametrize("batch", [3, None])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("name", LAYERS)
def test_pixels_keep_their_coordinates(name, data_format, batch):
    layer = make(name, data_format=data_format)
    data = world(batch=batch, data_format=data_format)
    for training in (True, False):
        outputs = CoordAugmentation(layer)(data, training=training)
        if resizes(layer):
            outputs = drop_border(outputs, data_format)
        check(outputs, data_format)
    if "Random" in type(layer).__name__:
        np.testing.assert_array_equal(
            ops.convert_to_numpy(outputs["affine"]),
            data["affine"].astype("float32"),
        )


NEW_SIZE = {"height": st.integers(8, 36), "width": st.integers(8, 36)}
SEED = {"seed": st.integers(0, 2**31 - 1)}
FILLED = {**SEED, "fill_mode": st.just("constant")}


def factors(low, high):
    factor = st.floats(low, high, width=32)
    return st.tuples(factor, factor)


ARGUMENTS = {
    layers.CenterCrop: NEW_SIZE,
    layers.RandomCrop: {**NEW_SIZE, **SEED},
    layers.RandomFlip: {
        **SEED,
        "mode": st.sampled_from(
            ["horizontal", "vertical", "horizontal_and_vertical"]
        ),
    },
    layers.RandomRotation: {**FILLED, "factor": factors(-1, 1)},
    layers.RandomShear: {
        **FILLED,
        "x_factor": factors(0, 0.5),
        "y_factor": factors(0, 0.5),
    },
    layers.RandomTranslation: {
        **FILLED,
        "height_factor": factors(-0.5, 0.5),
        "width_factor": factors(-0.5, 0.5),
    },
    layers.RandomZoom: {
        **FILLED,
        "height_factor": factors(-0.5, 1),
        "width_factor": st.none() | factors(-0.5, 1),
    },
    layers.Resizing: {
        **NEW_SIZE,
        "aspect_ratio": st.sampled_from(["none", "crop", "pad"]),
    },
}


def any_layer(kind):
    return st.tuples(st.just(kind), st.fixed_dictionaries(ARGUMENTS[kind]))


IS_TENSORFLOW = keras.backend.backend() == "tensorflow"


@hypothesis.settings(
    max_examples=100 if IS_TENSORFLOW else 20, deadline=None, database=None
)
@hypothesis.given(
    chain=st.lists(
        st.sampled_from(list(ARGUMENTS)).flatmap(any_layer),
        min_size=1,
        max_size=4,
    ),
    size=st.tuples(st.integers(9, 40), st.integers(9, 40)),
    batch=st.none() | st.integers(1, 3),
    seed=st.integers(0, 100),
    data_format=st.sampled_from(["channels_last", "channels_first"]),
)
def test_any_chain(chain, size, batch, seed, data_format):
    data = world(size, batch, seed, data_format)
    for kind, arguments in chain:
        aspect_ratio = arguments.get("aspect_ratio", "none")
        arguments = {k: v for k, v in arguments.items() if k != "aspect_ratio"}
        if aspect_ratio != "none":
            arguments[f"{aspect_ratio}_to_aspect_ratio"] = True
        layer = kind(data_format=data_format, **arguments)
        data = CoordAugmentation(layer)(data, training=True)
        if resizes(layer):
            data = drop_border(data, data_format, width=4)
        check(data, data_format, needs_pixels=False)


@pytest.mark.parametrize(
    "name",
    ["rotation", "shear", "translation", "zoom of each axis", "resizing"],
)
def test_nearest_pixels(name):
    layer = make(name, interpolation="nearest")
    data = world()
    # The coordinates of each pixel are its index.
    data["affine"] = np.array([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    data["images"][..., :2] = np.stack(np.indices(SIZE), axis=-1)
    data = CoordAugmentation(layer)(data, training=True)
    images = drop_border(data)["images"]
    grid = keras_coordconv.coordinate_grid(
        images.shape[1:3], affine=data["affine"]
    )
    error = np.abs(images[..., :2] - ops.convert_to_numpy(grid))
    assert np.all(error[images[..., 2] == 1] <= 0.5 + TOLERANCE)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_everything_else_is_what_the_layer_makes_of_it(name, training):
    """Images, labels, boxes and masks: with the same random numbers."""
    bare, wrapped = (make(name, bounding_box_format="xyxy") for _ in range(2))
    wrapped = CoordAugmentation(wrapped)
    data = more_data()
    if "pad" in name:  # Keras's resizing cannot pad masks of integers.
        data["segmentation_masks"] = data["segmentation_masks"] / np.float32(1)
    for part in (data, data, take(data, 0), data):
        # Keras writes into the data that it is given.
        expected = keras.tree.map_structure(np.copy, part)
        del expected["affine"]
        before = keras.tree.map_structure(np.copy, part)
        expected = bare(expected, training=training)
        outputs = dict(wrapped(part, training=training))
        assert_same(part, before)
        del outputs["affine"]
        assert_same(outputs, expected)


def assert_same(one, other):
    def compare(x, y):
        x, y = map(ops.convert_to_numpy, (x, y))
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)

    keras.tree.map_structure(compare, one, other)


@pytest.mark.parametrize("name", LAYERS)
def test_half_precision_rounds_no_coordinate(name):
    data = world()
    data["affine"] += 1e4  # where float16 has steps of 8
    data["images"] = ops.cast(data["images"], "float16")
    expected = CoordAugmentation(make(name))(data, training=True)
    keras.config.set_dtype_policy("float16")
    outputs = CoordAugmentation(make(name))(data, training=True)
    # Keras's `CenterCrop` enlarges images in float32.
    if name != "center crop of a small image":
        dtype = keras.backend.standardize_dtype(outputs["images"].dtype)
        assert dtype == "float16"
    dtype = keras.backend.standardize_dtype(outputs["affine"].dtype)
    assert dtype == "float32"
    affine = ops.convert_to_numpy(outputs["affine"])
    if name != "shear":  # It draws its random numbers in half precision.
        np.testing.assert_array_equal(
            affine, ops.convert_to_numpy(expected["affine"])
        )
    assert not np.array_equal(affine, np.round(affine))


def test_one_frame_for_all_images():
    data = world()
    data["affine"] = data["affine"][:1]
    for name, count in (("crop", 1), ("resizing", 1), ("rotation", 3)):
        outputs = CoordAugmentation(make(name))(data, training=True)
        assert outputs["affine"].shape == (count, 2, 3)
    one_by_one = [
        CoordAugmentation(make("crop"))(
            {"images": image, "affine": data["affine"][0]}, training=True
        )
        for image in data["images"]
    ]
    assert one_by_one[0]["affine"].shape == (2, 3)


def test_other_numbers_of_coordinates():
    """A slice of a volume has three coordinates, and here, one."""
    random = np.random.default_rng(0)
    affine = random.normal(size=(3, 4, 3)).astype("float32")
    rotate = CoordAugmentation(make("rotation"))
    data = {"images": world()["images"], "affine": affine}
    outputs = ops.convert_to_numpy(rotate(data, training=True)["affine"])
    for first in range(4):
        rotate = CoordAugmentation(make("rotation"))
        data["affine"] = affine[:, first : first + 1]
        part = rotate(data, training=True)["affine"]
        np.testing.assert_allclose(
            ops.convert_to_numpy(part), outputs[:, first : first + 1]
        )


CHAIN = ("crop", "flip", "rotation", "zoom", "translation")


def chain_of_layers(**kwargs):
    return [
        CoordAugmentation(make(name, seed=seed, **kwargs))
        for seed, name in enumerate(CHAIN)
    ]


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_functional_model(data_format, tmp_path):
    data = more_data(data_format=data_format)
    del data["affine"]
    data["affine"] = world()["affine"].astype("float32")
    inputs = keras.tree.map_structure(
        lambda x: keras.Input(x.shape[1:], dtype=str(x.dtype)), data
    )
    outputs = inputs
    for layer in chain_of_layers(
        data_format=data_format, bounding_box_format="xyxy"
    ):
        outputs = layer(outputs)
    model = keras.Model(inputs, outputs)
    for _ in range(2):
        results = model(data, training=True)
        check(results, data_format)
        keras.tree.map_structure(
            lambda x, y: assert_shape(x.shape, y.shape), results, outputs
        )
        path = tmp_path / "model.keras"
        model.save(path)
        model = keras.models.load_model(path)
    # Outside of training, the crop does nothing to images, but to masks.
    results = model.predict({**data}, verbose=0)
    np.testing.assert_array_equal(results["images"], data["images"])
    np.testing.assert_array_equal(results["affine"], data["affine"])


def assert_shape(shape, expected):
    assert len(shape) == len(expected)
    for n, m in zip(shape, expected, strict=True):
        assert m in (n, None)


def test_symbolic_shapes_and_dtypes():
    data = {
        "images": keras.Input((None, None, 3), dtype="uint8"),
        "affine": keras.Input(batch_shape=(1, 3, 3)),
        "labels": keras.Input((), dtype="int32"),
    }
    for name, size in (("resizing", (11, 28)), ("rotation", (None, None))):
        outputs = CoordAugmentation(make(name))(data)
        assert outputs["images"].shape == (None, *size, 3)
        assert outputs["affine"].shape == (None, 3, 3)
        assert outputs["affine"].dtype == "float32"
        assert outputs["labels"].shape == (None,)
        assert outputs["labels"].dtype == "int32"


def test_sequential_and_training():
    """The layers in front of a CoordConv, which takes their frames."""
    augment = keras.Sequential(chain_of_layers())
    check(augment(world(), training=True))
    inputs = {
        "images": keras.Input((*SIZE, 3)),
        "affine": keras.Input((2, 3)),
    }
    augmented = inputs
    for layer in chain_of_layers():
        augmented = layer(augmented)
    x = keras_coordconv.CoordConv2D(2, 3)(
        augmented["images"], affine=augmented["affine"]
    )
    model = keras.Model(inputs, layers.GlobalMaxPooling2D()(x))
    model.compile("sgd", "mse")
    data = world()
    data["affine"] = data["affine"].astype("float32")
    before = [ops.convert_to_numpy(v) for v in model.trainable_variables]
    model.fit(data, np.zeros((3, 2)), verbose=0)
    after = [ops.convert_to_numpy(v) for v in model.trainable_variables]
    assert all(np.isfinite(v).all() for v in after)
    assert not np.array_equal(before[0], after[0])


def test_layers_that_keep_pixels_in_place_need_no_wrapper():
    data = world()
    brighten = layers.RandomBrightness(0.5, value_range=(-100, 100))
    outputs = brighten(dict(data), training=True)
    assert not np.allclose(
        ops.convert_to_numpy(outputs["images"]), data["images"]
    )
    check({**outputs, "images": data["images"]})


@pytest.mark.parametrize("key", ["images", "affine"])
def test_arrays_and_tensors(key):
    data = world()
    expected = CoordAugmentation(make("rotation"))(data, training=True)
    data[key] = ops.convert_to_tensor(data[key], dtype="float32")
    outputs = CoordAugmentation(make("rotation"))(data, training=True)
    assert_same(outputs, expected)


class OwnCrop(layers.RandomCrop):
    """A layer of a user."""


def test_subclass():
    check(CoordAugmentation(OwnCrop(8, 8))(world(), training=True))


@pytest.mark.parametrize(
    "layer",
    [
        layers.RandomPerspective(0.1),
        layers.RandomElasticTransform(0.1),
        layers.RandomBrightness(0.1),
    ],
)
def test_refused_layers(layer):
    with pytest.raises(ValueError, match=r"RandomCrop.*`coordinates`"):
        CoordAugmentation(layer)


@pytest.mark.parametrize("shape", [(2, 3), (2, 2, 3), (3, 2, 4), (3, 3)])
def test_refused_frames(shape):
    data = {"images": world()["images"], "affine": np.zeros(shape)}
    augment = CoordAugmentation(make("flip"))
    with pytest.raises(ValueError, match=r"\(batch or 1, d, 3\)"):
        augment(data)
    if len(shape) == 3 and shape[0] != 2:
        data = {k: keras.Input(v.shape[1:]) for k, v in data.items()}
        with pytest.raises(ValueError, match=r"\(batch or 1, d, 3\)"):
            augment(data)


@pytest.mark.parametrize("data", [world()["images"], {"images": np.zeros(3)}])
def test_data_without_frames(data):
    with pytest.raises(ValueError, match="'images' and their 'affine'"):
        CoordAugmentation(make("flip"))(data)


# `tf.data`, with TensorFlow inside whatever the backend of Keras is.


def tf_data(data):
    """Dataset of single images with their frames and the rest."""
    tensorflow = pytest.importorskip("tensorflow")
    return tensorflow.data.Dataset.from_tensor_slices(data)


def forget_sizes(dataset):
    """The dataset with images of sizes that are not known before it runs."""
    tensorflow = pytest.importorskip("tensorflow")
    spec = dict(dataset.element_spec)
    shape = [n if n == 3 else None for n in spec["images"].shape]
    spec["images"] = tensorflow.TensorSpec(shape, "float32")
    return tensorflow.data.Dataset.from_generator(
        lambda: dataset, output_signature=spec
    )


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("name", LAYERS)
def test_tf_data(name, data_format):
    layer = make(name, data_format=data_format)
    augment = CoordAugmentation(layer)
    images = tf_data(world(data_format=data_format))
    datasets = [
        images.map(lambda x: augment(x, training=True)).batch(3),
        images.batch(3).map(augment),
    ]
    # Keras's `RandomCrop` needs known sizes; without them, its `CenterCrop`
    # does not enlarge.
    if not ("crop" in name and "resizing" not in name) or name == "center crop":
        datasets.append(forget_sizes(images.batch(3)).map(augment))
    for dataset in datasets:
        (data,) = dataset.as_numpy_iterator()
        if resizes(layer):
            data = drop_border(data, data_format)
        check(data, data_format)


@pytest.mark.parametrize("name", ["crop", "flip", "rotation", "resizing"])
def test_everything_else_in_tf_data(name):
    bare, wrapped = (make(name, bounding_box_format="xyxy") for _ in range(2))
    wrapped = CoordAugmentation(wrapped)
    data = more_data()
    if not IS_TENSORFLOW:  # Keras's layers cannot, on other backends.
        del data["bounding_boxes"]
    dataset = tf_data(data)
    outputs = dict(take_one(dataset.map(wrapped).batch(3)))
    del outputs["affine"]
    del data["affine"]
    assert_same(outputs, take_one(tf_data(data).map(bare).batch(3)))


def take_one(dataset):
    (data,) = dataset.as_numpy_iterator()
    return data
