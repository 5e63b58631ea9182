import keras
import numpy as np
import pytest
from reference import numpy_coordinates

from keras_coordconv import coordinate_grid


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_grid_by_hand():
    grid = to_numpy(coordinate_grid((2, 3), use_radius=True))
    rows = [[-1, -1, -1], [1, 1, 1]]
    columns = [[-1, 0, 1], [-1, 0, 1]]
    root = np.sqrt(2)
    radius = [[root, 1, root], [root, 1, root]]
    expected = np.stack([rows, columns, radius], axis=-1)
    np.testing.assert_allclose(grid, expected, rtol=1e-6)


def test_pixel_grid_by_hand():
    grid = to_numpy(
        coordinate_grid((2, 3), use_radius=True, coordinate_range="pixel")
    )
    np.testing.assert_array_equal(grid[..., 0], [[0, 0, 0], [1, 1, 1]])
    np.testing.assert_array_equal(grid[..., 1], [[0, 1, 2], [0, 1, 2]])
    edge = np.sqrt(1.25)
    np.testing.assert_allclose(grid[..., 2], [[edge, 0.5, edge]] * 2, rtol=1e-6)


@pytest.mark.parametrize("use_radius", [False, True])
@pytest.mark.parametrize(
    "coordinate_range",
    [(-1.0, 1.0), (0, 1), (-3.5, 0.25), (2, -1), "pixel"],
)
@pytest.mark.parametrize(
    "shape", [(1,), (2,), (7,), (5, 3), (1, 4), (1, 1), (3, 4, 5), (2, 1, 3)]
)
def test_grid_equals_numpy(shape, coordinate_range, use_radius):
    grid = coordinate_grid(
        shape, use_radius=use_radius, coordinate_range=coordinate_range
    )
    assert keras.backend.standardize_dtype(grid.dtype) == "float32"
    np.testing.assert_allclose(
        to_numpy(grid),
        numpy_coordinates(shape, use_radius, coordinate_range),
        rtol=1e-6,
        atol=1e-6,
    )


def test_a_range_for_each_axis_by_hand():
    ranges = ((10, 30), (1, -1))
    grid = to_numpy(
        coordinate_grid((3, 2), use_radius=True, coordinate_range=ranges)
    )
    np.testing.assert_array_equal(grid[..., 0], [[10, 10], [20, 20], [30, 30]])
    np.testing.assert_array_equal(grid[..., 1], [[1, -1]] * 3)
    far = np.sqrt(101)
    np.testing.assert_allclose(
        grid[..., 2], [[far, far], [1, 1], [far, far]], rtol=1e-6
    )
    # One range is the same range for each axis.
    np.testing.assert_array_equal(
        to_numpy(coordinate_grid((3, 2), coordinate_range=(0, 2))),
        to_numpy(coordinate_grid((3, 2), coordinate_range=[[0, 2], [0, 2]])),
    )


@pytest.mark.parametrize("coordinate_range", [(-1.0, 1.0), "pixel"])
@pytest.mark.parametrize(
    ("shape", "center"),
    [
        ((1,), 0.5),
        ((5, 3), 0.5),
        ((2, 1, 3), 0.5),
        ((4,), [2]),
        ((5, 3), (0.5, -2)),
        ((2, 1, 3), np.array([1.0, 2.0, 3.0])),
    ],
)
def test_radius_from_another_center(shape, center, coordinate_range):
    np.testing.assert_allclose(
        to_numpy(
            coordinate_grid(
                shape,
                use_radius=True,
                coordinate_range=coordinate_range,
                radius_center=center,
            )
        ),
        numpy_coordinates(shape, True, coordinate_range, radius_center=center),
        rtol=1e-6,
        atol=1e-6,
    )


def test_radius_from_a_point_by_hand():
    grid = coordinate_grid(
        (1, 2),
        use_radius=True,
        coordinate_range=((5, 7), (0, 8)),
        radius_center=(3, 4),
    )
    # From row 3, column 4 to row 6, columns 0 and 8.
    np.testing.assert_allclose(to_numpy(grid)[0, :, 2], [5, 5])


@pytest.mark.parametrize(
    "center",
    [
        "middle",
        float("nan"),
        True,
        (0,),
        (0, 0, 0),
        (0, float("inf")),
        ("0", 0),
    ],
)
def test_malformed_radius_center(center):
    with pytest.raises(ValueError, match="Received: radius_center="):
        coordinate_grid((2, 2), radius_center=center)


@pytest.mark.parametrize("size", [2, 3, 10, 64, 224, 1000])
def test_ends_are_exact_and_grid_is_symmetric(size):
    axis = to_numpy(coordinate_grid((size,)))[:, 0]
    assert axis[0] == -1 and axis[-1] == 1
    np.testing.assert_array_equal(axis, -axis[::-1])
    assert len(np.unique(axis)) == size


def test_axis_of_size_one_gets_the_middle():
    assert to_numpy(
        coordinate_grid((1,), coordinate_range=(2, 6))
    ).tolist() == [[4]]
    assert to_numpy(
        coordinate_grid((1,), coordinate_range="pixel")
    ).tolist() == [[0]]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_grid_is_computed_in_float32_and_cast_once(dtype):
    grid = coordinate_grid((300, 2), coordinate_range=(0, 1), dtype=dtype)
    assert keras.backend.standardize_dtype(grid.dtype) == dtype
    expected = keras.ops.cast(
        coordinate_grid((300, 2), coordinate_range=(0, 1)), dtype
    )
    np.testing.assert_array_equal(
        to_numpy(keras.ops.cast(grid, "float32")),
        to_numpy(keras.ops.cast(expected, "float32")),
    )


@pytest.mark.tensorflow_backend
@pytest.mark.parametrize("shape", [(5, 3), (1, 4), (1, 1)])
@pytest.mark.parametrize(
    "coordinate_range", [(-1.0, 1.0), "pixel", ((3, -2), (0.5, 7))]
)
def test_sizes_known_only_at_run_time(shape, coordinate_range):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((2,), tf.int32)])
    def grid(sizes):
        return coordinate_grid(
            (sizes[0], sizes[1]),
            use_radius=True,
            coordinate_range=coordinate_range,
        )

    np.testing.assert_allclose(
        grid(np.array(shape, "int32")),
        numpy_coordinates(shape, True, coordinate_range),
        atol=1e-6,
    )


@pytest.mark.parametrize(
    "coordinate_range",
    [
        "pixels",
        "",
        (0,),
        (0, 1, 2),
        (1, 1),
        (0, float("inf")),
        (float("nan"), 1),
        ("0", "1"),
        (False, True),
        None,
        3,
        ((0, 1),),
        ((0, 1), (0, 1), (0, 1)),
        ((0, 1), (2, 2)),
        ((0, 1), 2),
        ((0, 1), "pixel"),
        ((0, 1), (0, 1, 2)),
        (0, 1e39),
        (0, 10**400),
        (1, 1 + 1e-12),
    ],
)
def test_malformed_range(coordinate_range):
    with pytest.raises(ValueError, match="Received: coordinate_range="):
        coordinate_grid((2, 2), coordinate_range=coordinate_range)


@pytest.mark.parametrize("align", ["edges", "period"])
@pytest.mark.parametrize("coordinate_range", ["pixel", (3, -2), (0, 360)])
@pytest.mark.parametrize("size", [1, 2, 7])
def test_alignments(size, coordinate_range, align):
    grid = coordinate_grid(
        (size, 3),
        use_radius=True,
        coordinate_range=coordinate_range,
        align=align,
    )
    np.testing.assert_allclose(
        to_numpy(grid),
        numpy_coordinates((size, 3), True, coordinate_range, align=align),
        rtol=1e-6,
        atol=1e-5,
    )


def test_alignments_by_hand():
    for align, expected in [
        ("centers", [0, 4, 8]),
        ("edges", [4 / 3, 4, 20 / 3]),
        ("period", [0, 8 / 3, 16 / 3]),
    ]:
        grid = coordinate_grid((3,), coordinate_range=(0, 8), align=align)
        np.testing.assert_allclose(to_numpy(grid)[:, 0], expected, rtol=1e-6)


def test_axes_by_hand():
    grid = coordinate_grid(
        (2, 3), axes=(1,), use_radius=True, coordinate_range=((0, 4),)
    )
    np.testing.assert_array_equal(grid, [[[0, 2], [2, 0], [4, 2]]] * 2)
    swapped = to_numpy(coordinate_grid((2, 3), axes=(1, 0)))
    expected = to_numpy(coordinate_grid((2, 3)))[..., ::-1]
    np.testing.assert_array_equal(swapped, expected)


def test_affine_by_hand():
    """Columns to the east, rows to the south, and a height of both."""
    affine = np.array([[[-10, 0, 895], [0, 10, 505], [1, 2, 0]]])
    grid = to_numpy(coordinate_grid((2, 2), affine=affine))
    expected = [
        [[895, 505, 0], [895, 515, 2]],
        [[885, 505, 1], [885, 515, 3]],
    ]
    np.testing.assert_allclose(grid, [expected])


@pytest.mark.parametrize(
    "axes", [(), (2,), (-1,), (0, 0), (True,), 1, "i", (0.0,)]
)
def test_malformed_axes(axes):
    with pytest.raises(ValueError, match="Received: axes="):
        coordinate_grid((2, 2), axes=axes)


@pytest.mark.parametrize("align", ["corners", None, True])
def test_malformed_align(align):
    with pytest.raises(ValueError, match="Received: align="):
        coordinate_grid((2, 2), align=align)


@pytest.mark.parametrize("shape", [(), (0,), (3, -1)])
def test_malformed_shape(shape):
    with pytest.raises(ValueError, match="Received: spatial_shape="):
        coordinate_grid(shape)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "bool"])
def test_integer_dtypes_have_no_room_for_coordinates(dtype):
    with pytest.raises(ValueError, match=f"floating-point.*'{dtype}'"):
        coordinate_grid((3, 4), dtype=dtype)
