"""After any crop, flip, zoom, each pixel has its coordinate in the world."""

import keras
import numpy as np
import pytest
from keras import ops
from reference import numpy_coordinates

import keras_coordconv
from keras_coordconv import CoordRandomCrop
from keras_coordconv import CoordRandomFlip
from keras_coordconv import CoordRandomZoom
from keras_coordconv import CoordResizing


def worlds(size, batch=4):
    """Images of which each pixel holds its own coordinates, and the ranges."""
    random = np.random.default_rng(0)
    ranges = random.normal(scale=5, size=(batch, len(size), 2))
    return [pixels_of(size, ranges), ranges.astype("float32")]


def pixels_of(size, ranges):
    """The images that the ranges promise, in NumPy."""
    ranges = np.asarray(ops.convert_to_numpy(ranges), "float64")
    return np.stack(
        [
            numpy_coordinates(size, coordinate_range=own)
            for own in ranges.tolist()
        ]
    ).astype("float32")


def check(outputs, size):
    images, ranges = map(ops.convert_to_numpy, outputs)
    assert images.shape[1:-1] == size
    np.testing.assert_allclose(images, pixels_of(size, ranges), atol=1e-4)


def chain(inputs, size):
    """All of them, with sizes that shrink: edges would not be in the world."""
    *others, last = size
    for layer in (
        CoordRandomCrop((*others, last - 2), seed=1),
        CoordRandomFlip(range(len(size)), seed=2),
        CoordRandomZoom((1.0, 2.5), seed=3),
        CoordResizing((*others, last - 5)),
        CoordRandomFlip(len(size) - 1, seed=4),
        CoordRandomCrop([n - 6 for n in size], seed=5),
    ):
        inputs = layer(inputs)
    return inputs


@pytest.mark.parametrize("size", [(20,), (12, 15), (10, 11, 12)])
def test_any_chain_keeps_the_coordinates_of_the_world(size):
    inputs = worlds(size)
    outputs = chain(inputs, size)
    check(outputs, tuple(n - 6 for n in size))
    # Each example by itself.
    ranges = ops.convert_to_numpy(outputs[1])
    assert len(np.unique((ranges - inputs[1]).round(3), axis=0)) == 4


@pytest.mark.tensorflow_backend
@pytest.mark.parametrize("batched", [True, False])
def test_in_tf_data(batched):
    """Of sizes that the graph does not know."""
    import tensorflow as tf

    def examples():
        for size in ((12, 15), (20, 13)):
            yield from zip(*worlds(size), strict=True)

    signature = tf.TensorSpec((None, None, 2)), tf.TensorSpec((2, 2))
    dataset = tf.data.Dataset.from_generator(
        examples, output_signature=signature
    )
    layers = [
        CoordRandomZoom((1.0, 2.0), seed=1),
        CoordRandomFlip((0, 1), seed=2),
        CoordRandomCrop((11, 12), seed=3),
        CoordResizing((8, 9)),
    ]
    if batched:
        dataset = dataset.batch(4)
    for layer in layers:
        dataset = dataset.map(lambda *pair, layer=layer: tuple(layer([*pair])))
    if not batched:
        dataset = dataset.batch(4)
    first, second = dataset
    check(first, (8, 9))
    check(second, (8, 9))


def test_every_place_and_flip_is_drawn():
    image, ranges = np.arange(6.0)[:, None], np.array([[0.0, 5.0]])
    images, all_ranges = (
        np.tile(image, (200, 1, 1)),
        np.tile(ranges, (200, 1, 1)),
    )
    crops, _ = CoordRandomCrop((4,), seed=0)([images, all_ranges])
    begins = ops.convert_to_numpy(crops)[:, 0, 0]
    assert [(begins == n).sum() > 40 for n in range(3)] == [True] * 3
    flipped, _ = CoordRandomFlip(0, seed=0)([images, all_ranges])
    assert 80 < (ops.convert_to_numpy(flipped)[:, 0, 0] == 5).sum() < 120
    _, found = CoordRandomZoom((1, 5), seed=0)([images, all_ranges])
    factors = 5 / np.diff(ops.convert_to_numpy(found))
    assert factors.min() >= 1 and factors.max() <= 5
    assert factors.min() < 1.2 and factors.max() > 4.8


def test_resizing_is_that_of_keras():
    image, ranges = worlds((9, 12))
    for size in ((5, 30), (18, 4)):
        resized, found = CoordResizing(size)([image, ranges])
        np.testing.assert_allclose(
            resized, ops.image.resize(image, size), atol=1e-4
        )
        np.testing.assert_allclose(
            found,
            keras_coordconv.resized_ranges(ranges, (9, 12), size),
            rtol=1e-5,
        )
    pixels = np.arange(6, dtype="uint8").reshape(1, 6, 1)
    nearest = CoordResizing((4,), "nearest")
    resized, _ = nearest([pixels, np.array([[[0.0, 5.0]]])])
    # The centres are 0.25, 1.75, 3.25 and 4.75.
    assert ops.convert_to_numpy(resized).ravel().tolist() == [0, 2, 3, 5]
    assert keras.backend.standardize_dtype(resized.dtype) == "uint8"


def test_zooming_out_goes_on_with_the_edge():
    image, ranges = np.arange(5.0)[None, :, None], np.array([[[0.0, 4.0]]])
    zoomed, found = CoordRandomZoom((0.5, 0.5))([image, ranges])
    assert ops.convert_to_numpy(zoomed).ravel().tolist() == [0, 0, 2, 4, 4]
    assert ops.convert_to_numpy(found).ravel().tolist() == [-2, 6]


def test_outside_of_training():
    image, ranges = worlds((7, 8))
    for layer in (CoordRandomFlip((0, 1)), CoordRandomZoom((0.5, 2))):
        for found, given in zip(
            layer([image, ranges], training=False), (image, ranges), strict=True
        ):
            np.testing.assert_allclose(found, given, atol=1e-5)
    crop, found = CoordRandomCrop((3, 4))([image, ranges], training=False)
    np.testing.assert_array_equal(crop, image[:, 2:5, 2:6])
    check([crop, found], (3, 4))


def test_in_a_model_that_is_saved(tmp_path):
    images, ranges = keras.Input((None, None, 2)), keras.Input((2, 2))
    x = CoordRandomCrop((6, 7), seed=1)([images, ranges])
    x = CoordRandomFlip((0, 1), seed=2)(x)
    x = CoordRandomZoom((0.5, 2), "nearest", seed=3)(x)
    outputs = CoordResizing((5, 5))(x)
    keras.Model([images, ranges], outputs).save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    check(loaded.predict(worlds((9, 9)), verbose=0), (5, 5))
    crop, flip, zoom, resize = loaded.layers[2:]
    assert crop.size == (6, 7) and crop.seed == 1
    assert flip.axes == (0, 1)
    assert zoom.factor == (0.5, 2) and zoom.interpolation == "nearest"
    assert resize.size == (5, 5) and resize.interpolation == "linear"


def test_half_precision_is_not_for_ranges():
    keras.config.set_dtype_policy("mixed_bfloat16")
    image, ranges = worlds((9, 9))
    check(CoordRandomCrop((5, 5))([image, ranges]), (5, 5))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CoordRandomCrop(32), "Received: size=32"),
        (lambda: CoordRandomCrop((3, 0)), r"Received: size=\(3, 0\)"),
        (lambda: CoordResizing((3,)), r"Received: size=\(3,\) for 2 axes"),
        (lambda: CoordResizing((3, 3), "cubic"), "interpolation='cubic'"),
        (lambda: CoordRandomCrop((3, 9)), r"images of size \[4, 5\]"),
        (lambda: CoordRandomFlip(2), r"Received: axes=\(2,\) for 2 axes"),
        (lambda: CoordRandomZoom((0, 2)), r"Received: factor=\(0, 2\)"),
        (lambda: CoordRandomZoom((2, 1)), r"Received: factor=\(2, 1\)"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()([np.zeros((2, 4, 5, 1)), np.tile([0.0, 1.0], (2, 2, 1))])


def test_bad_ranges():
    with pytest.raises(ValueError, match=r"ranges of shape \(3, 2, 2\)"):
        CoordRandomFlip()([np.zeros((2, 4, 5, 1)), np.ones((3, 2, 2))])
