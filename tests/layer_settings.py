"""What a layer can be given: settings for `hypothesis` to draw.

A setting is drawn such that it is valid; what a backend or a way of running
cannot do, for Keras's own layers as for ours, is said here too.
"""

import dataclasses
import operator
import re

from hypothesis import strategies as st
from numpy_layers import NumpyLayer

import keras_coordconv
from keras_coordconv.coordinates import ALIGNMENTS

LAYERS = tuple(
    name for name in keras_coordconv.layers.__all__ if name.startswith("Coord")
)
DTYPES = ("float32", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16")
LARGEST_SIZE = {1: 40, 2: 16, 3: 6}
# Maps on which a layer may choose another form than on small ones.
LARGE_SIZES = {1: (200, 300), 2: (64, 68), 3: (16, 17)}
LARGEST_KERNEL = {1: 7, 2: 7, 3: 3}


@dataclasses.dataclass(frozen=True)
class Setting:
    """A layer and its input.

    Args:
        layer: Name of the class.
        arguments: Dictionary of its arguments.
        shape: Tuple, shape of an input without the batch.
        unknown: Tuple of the spatial axes whose size the graph does not know.
        input_dtype: String.
        frame: `"affine"` or `"coordinates"` where these come with each call.
        count: Integer, the number of these coordinates.
        one_frame: Boolean, whether all examples of a batch have the same.
    """

    layer: str
    arguments: dict
    shape: tuple
    unknown: tuple = ()
    input_dtype: str = "float32"
    frame: str | None = None
    count: int | None = None
    one_frame: bool = False

    @property
    def rank(self):
        return int(re.search(r"(\d)D", self.layer)[1])

    @property
    def is_depthwise(self):
        return "Depthwise" in self.layer or "Separable" in self.layer

    @property
    def channels(self):
        return self.shape[0 if self.channels_first else -1]

    @property
    def coordinate_channels(self):
        return self.reference().widened

    def layer_arguments(self):
        """The arguments, with the encoding that their name stands for."""
        arguments = dict(self.arguments)
        if "encoding" in arguments:
            name, config = arguments["encoding"]
            arguments["encoding"] = getattr(keras_coordconv, name)(**config)
        return arguments

    def reference(self):
        return NumpyLayer(
            self.layer, self.layer_arguments(), self.shape, self.count
        )

    @property
    def channels_first(self):
        return self.arguments.get("data_format") == "channels_first"

    @property
    def gap(self):
        """Positions between one place of the kernel and the next, at most."""
        strides = self.arguments.get("strides", (1,) * self.rank)
        kernel_size = self.arguments.get("kernel_size", strides)
        return max(map(operator.sub, strides, kernel_size))

    @property
    def is_bfloat16(self):
        return "bfloat16" in self.arguments.get("dtype", "float32")

    @property
    def symbolic_shape(self):
        """The shape with `None` for the unknown sizes."""
        shape = list(self.shape)
        for axis in self.unknown:
            shape[axis + self.channels_first] = None
        return tuple(shape)


def runs_without_xla(setting):
    """Whether TensorFlow computes this on a CPU without compiling it.

    Keras itself calls XLA where there are groups or three axes.
    """
    if "Transpose" in setting.layer:
        return not (
            setting.channels_first or "dilation_rate" in setting.arguments
        )
    if setting.is_depthwise:
        if setting.is_bfloat16 and setting.gap > 1:
            # TensorFlow leaves a part of the outputs undefined.
            return False
        # oneDNN takes a depthwise convolution of one channel, 1x1, for a plain
        # one that it has seen before, and fails.
        return not (
            1 in (setting.channels, setting.coordinate_channels)
            and setting.arguments.get("depth_multiplier", 1) == 1
            and set(setting.arguments["kernel_size"]) == {1}
        )
    if setting.layer == "CoordConv3D":
        # Of one channel with strides, oneDNN takes one axis for another.
        channels = setting.channels // setting.arguments.get("groups", 1)
        return not (
            _takes_other_inputs(setting)
            or (
                "strides" in setting.arguments
                and 1 in (channels, setting.coordinate_channels)
            )
        )
    return not (
        setting.channels_first
        and setting.layer in ("CoordConv1D", "CoordConv2D")
        and "groups" not in setting.arguments
    )


def _takes_other_inputs(setting):
    """Whether "same" would mean to crop a map of three axes at both ends.

    There, TensorFlow begins at another input.
    """
    return setting.arguments.get("padding") == "same" and setting.gap > 1


def has_gradients(setting):
    """Whether TensorFlow has gradients of this.

    With three axes and the channels first, it takes the dilation of one axis
    for that of another.
    """
    return not (
        setting.layer == "CoordConv3DTranspose"
        and setting.channels_first
        and "dilation_rate" in setting.arguments
    )


def has_gradients_without_xla(setting):
    """Whether a CPU computes them without compiling."""
    if setting.is_bfloat16 and (
        # The gradient of a strided 1x1 kernel writes beyond its memory.
        setting.gap > 0
        # Where a kernel meets nothing but padding, it is left undefined.
        or "padding" in setting.arguments
    ):
        return False
    if setting.layer == "CoordConv3DTranspose" and _takes_other_inputs(setting):
        return False
    return runs_without_xla(setting)


def runs_on_small_runtimes(setting):
    """Whether TFLite and ONNX have all that Keras makes of the setting."""
    if "Transpose" in setting.layer and setting.gap > 0:
        # The converter to ONNX pads by less than nothing.
        return False
    if setting.arguments.get("padding") == "same" and setting.gap > 0:
        # TFLite begins at another input.
        return False
    if setting.rank == 3 and "dilation_rate" in setting.arguments:
        # TFLite has no such convolution.
        return False
    return (
        runs_without_xla(setting)
        and not setting.channels_first
        and "groups" not in setting.arguments
        and "dtype" not in setting.arguments
    )


def counts(largest):
    """Numbers from 1: a single one, and equal ones, are what backends treat
    specially, so they are drawn often.
    """
    if largest == 1:
        return st.just(1)
    return st.just(1) | st.integers(2, 3) | st.integers(3, largest)


@st.composite
def settings(
    draw,
    layers=LAYERS,
    dtypes=DTYPES,
    input_dtypes=("float32", "int32", "uint8"),
    data_formats=("channels_last", "channels_first"),
    unknown_sizes=True,
    frames=(None, "affine", "coordinates"),
):
    """A setting that Keras's own layer of the same arguments would take."""
    layer = draw(st.sampled_from(layers))
    rank = Setting(layer, {}, ()).rank
    arguments = {}

    def each_axis(values):
        return tuple(draw(values) for _ in range(rank))

    def choose(name, values, default):
        value = draw(values)
        if value != default:
            arguments[name] = value
        return value

    # A large map, or many channels, or neither.
    large = "Transpose" not in layer and draw(st.integers(0, 9)) == 9
    if large:
        sizes = each_axis(st.integers(*LARGE_SIZES[rank]))
        channels = draw(counts(3))
    else:
        sizes = each_axis(counts(LARGEST_SIZE[rank]))
        channels = draw(counts(6) | st.integers(16, 17))
    if "Conv" in layer:
        channels = _convolution(
            draw, each_axis, choose, layer, arguments, sizes, channels
        )
    frame = draw(st.sampled_from(frames))
    count = draw(st.integers(1, 3)) if frame else None
    _coordinates(draw, choose, rank, frame, count)
    choose("data_format", st.sampled_from(data_formats), "channels_last")
    choose("dtype", st.sampled_from(dtypes), "float32")
    unknown = ()
    if unknown_sizes and draw(st.booleans()):
        unknown = tuple(axis for axis in range(rank) if draw(st.booleans()))
    shape = (*sizes, channels)
    if "data_format" in arguments:
        shape = (channels, *sizes)
    return Setting(
        layer,
        arguments,
        shape,
        unknown,
        draw(st.sampled_from(input_dtypes)),
        frame,
        count,
        frame is not None and draw(st.booleans()),
    )


def _convolution(draw, each_axis, choose, layer, arguments, sizes, channels):
    rank = len(sizes)
    transposed = "Transpose" in layer
    is_depthwise = Setting(layer, {}, ()).is_depthwise
    paddings = ["valid", "same"]
    if layer == "CoordConv1D":
        paddings.append("causal")
    padding = choose("padding", st.sampled_from(paddings), "valid")
    ones = (1,) * rank
    strides = dilations = ones
    changed = draw(st.sampled_from(["neither", "strides", "dilation_rate"]))
    if changed == "strides":
        strides = each_axis(st.integers(1, 3))
        if is_depthwise:
            # TensorFlow has one stride for all axes.
            strides = strides[:1] * rank
        choose("strides", st.just(strides), ones)
    elif changed == "dilation_rate":
        dilations = each_axis(st.integers(1, 3))
        choose("dilation_rate", st.just(dilations), ones)
    pointwise = draw(st.integers(0, 3)) == 3
    arguments["kernel_size"] = tuple(
        draw(
            counts(1 if pointwise else LARGEST_KERNEL[rank]).map(
                # A valid convolution has an output.
                lambda size, most=most: min(size, most)
            )
        )
        for most in (
            (size - 1) // dilation + 1
            if padding == "valid" and not transposed
            else LARGEST_KERNEL[rank]
            for size, dilation in zip(sizes, dilations, strict=True)
        )
    )
    groups = 1
    if layer in ("CoordConv1D", "CoordConv2D", "CoordConv3D"):
        groups = choose("groups", st.sampled_from([1, 1, 2, 3]), 1)
        channels = channels if groups == 1 else groups * draw(counts(3))
    if is_depthwise:
        choose("depth_multiplier", st.sampled_from([1, 2, 3]), 1)
    if "Depthwise" not in layer:
        arguments["filters"] = groups * draw(
            counts(8)
            | st.integers(2, 3).map(
                lambda times, channels=channels: times * channels
            )
        )
    if transposed:
        _output_padding(draw, arguments, padding, strides, dilations)
    choose("use_bias", st.booleans(), True)
    choose("activation", st.sampled_from([None, "relu", "tanh"]), None)
    return channels


def _output_padding(draw, arguments, padding, strides, dilations):
    """Draws paddings that leave the outputs enough for all inputs."""
    if draw(st.booleans()):
        return
    output_padding = []
    for kernel_size, stride, dilation in zip(
        arguments["kernel_size"], strides, dilations, strict=True
    ):
        odd = ((kernel_size - 1) * dilation + 1) % 2
        least = 1 - odd if padding == "same" else 0
        most = stride - odd if padding == "same" else stride - 1
        most = min(most, stride - 1)
        if most < least:
            return
        output_padding.append(draw(st.integers(least, most)))
    arguments["output_padding"] = tuple(output_padding)


def _coordinates(draw, choose, rank, frame, count):
    bounds = st.integers(-16, 16).map(lambda quarters: quarters / 4)
    pair = st.tuples(bounds, bounds).filter(lambda pair: pair[0] != pair[1])
    if frame is None:
        orders = st.permutations(range(rank))
        axes = choose(
            "axes",
            st.none()
            | orders.flatmap(
                lambda order: st.integers(1, rank).map(
                    lambda length: tuple(order[:length])
                )
            ),
            None,
        )
        count = len(axes or range(rank))
        choose(
            "coordinate_range",
            st.just((-1.0, 1.0))
            | st.just("pixel")
            | pair
            | st.tuples(*[pair] * count),
            (-1.0, 1.0),
        )
        choose("align", st.sampled_from(ALIGNMENTS), "centers")
    if choose("use_radius", st.booleans(), False):
        point = bounds | st.tuples(*[bounds] * count)
        if frame != "coordinates":
            point = st.none() | point
        choose("radius_center", point, None)
    choose(
        "encoding",
        st.none()
        | st.none()
        | st.sampled_from(
            [
                ("FourierFeatures", {"bands": 1, "include_coordinates": True}),
                ("FourierFeatures", {"bands": 4}),
                ("GaussianFourierFeatures", {"count": 3, "scale": 0.5}),
                ("Periodic", {"period": 2.5}),
                ("Periodic", {"period": 4.0, "coordinates": (0,)}),
            ]
        ),
        None,
    )
