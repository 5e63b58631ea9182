"""Reports whether a model uses its position."""

import dataclasses
import functools
import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_coordconv.conversion.clone import check_graph
from keras_coordconv.conversion.convert import check_all_replaced
from keras_coordconv.conversion.maps import data_format_of
from keras_coordconv.conversion.maps import follow_maps
from keras_coordconv.conversion.maps import input_names
from keras_coordconv.conversion.maps import maps_of_inputs
from keras_coordconv.conversion.remove import find_coordinate_layers
from keras_coordconv.conversion.remove import flat_inputs
from keras_coordconv.conversion.remove import has_frame
from keras_coordconv.conversion.remove import mean_terms
from keras_coordconv.conversion.remove import run_in_batches
from keras_coordconv.conversion.remove import with_changed_term

CHANGES = ("constant", "mirrored", "shifted", "exchanged")
# The smallest share of the metric's range that counts as use of the position.
_MIN_SHARE = 0.1
# 97.5 % quantiles of Student's t, by degrees of freedom from 1 on.
_QUANTILES = (
    *(12.706, 4.303, 3.182, 2.776, 2.571),
    *(2.447, 2.365, 2.306, 2.262),
)


@dataclasses.dataclass(frozen=True)
class ReportRow:
    """The metric after one change.

    Attributes:
        where: String, the name of the changed layer, or what was changed.
        change: String, the change.
        value: Float, the metric.
        difference: Float, the difference to the metric without the change, as
            the mean over parts of the examples.
        interval: Float, half the width of the 95 % interval of `difference`.
        outputs: Float, the change of the outputs: root mean square, in standard
            deviations of the outputs.
    """

    where: str
    change: str
    value: float
    difference: float
    interval: float
    outputs: float


@dataclasses.dataclass(frozen=True)
class CoordinateReport:
    """What `coordinate_report` returns. `print` shows it as a table.

    Attributes:
        metric: String, the name of the metric.
        value: Float, the metric without changes.
        chance: Float, the metric if each example is compared with the target of
            another example.
        rows: List of `ReportRow`.
        note: String, what does not apply, or what "as it is" means.
        uses_position: Boolean, or `None` if the examples do not suffice to
            decide.
        advice: String, one sentence.
    """

    metric: str
    value: float
    chance: float
    rows: list
    note: str
    uses_position: bool | None
    advice: str

    def share(self, row: ReportRow) -> float:
        """Returns the difference of a row as a share of the metric's range."""
        values = [self.value, self.chance, *(own.value for own in self.rows)]
        extent = max(values) - min(values)
        return min(abs(row.difference) / extent, 1.0) if extent > 0 else 0.0

    def __str__(self) -> str:
        cells = [
            ["", self.metric, "difference (95 %)", "share", "outputs"],
            ["as it is", f"{self.value:.4g}", "", "", ""],
        ]
        cells += [
            [
                f"{row.where}: {row.change}",
                f"{row.value:.4g}",
                f"{row.difference:+.3g} ± {row.interval:.2g}",
                f"{self.share(row):.0%}",
                f"{row.outputs:.2f}",
            ]
            for row in self.rows
        ]
        cells.append(["targets exchanged", f"{self.chance:.4g}", "", "", ""])
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(width) if number else cell.ljust(width)
                for number, (cell, width) in enumerate(
                    zip(line, widths, strict=True)
                )
            ).rstrip()
            for line in cells
        ]
        lines.insert(1, "-" * len(lines[0]))
        return "\n".join([*lines, *filter(None, [self.note]), self.advice])

    def plot(self) -> Any:
        """Draws the metric after each change, with its 95 % interval.

        Returns:
            A `matplotlib.figure.Figure`.
        """
        try:
            from matplotlib.figure import Figure
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "The figure needs matplotlib. Run: pip install matplotlib",
                name=error.name,
            ) from None
        groups = list(dict.fromkeys(row.where for row in self.rows))
        figure = Figure(
            figsize=(6, 1.2 + 0.3 * len(self.rows)), layout="constrained"
        )
        axes = figure.subplots()
        for number, row in enumerate(self.rows):
            axes.errorbar(
                self.value + row.difference,
                number,
                xerr=row.interval,
                fmt="o",
                color=f"C{groups.index(row.where) % 10}",
            )
        axes.axvline(self.value, color="black", label="as it is")
        axes.axvline(
            self.chance, color="gray", ls="--", label="targets exchanged"
        )
        labels = [f"{row.where}: {row.change}" for row in self.rows]
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_xlabel(self.metric)
        figure.legend(loc="outside upper center", ncols=2, frameon=False)
        return figure


def coordinate_report(
    model: keras.Model,
    x: Any,
    y: Any,
    metric: Any = None,
    *,
    batch_size: int = 32,
) -> CoordinateReport:
    """Measures whether a trained model uses the position.

    It computes the model's metric with changed coordinates, in all layers at
    once and, if there are several, in each CoordConv or `CoordinateChannel`
    alone. The changes are:

    - constant: the mean everywhere, as `remove_coordinates` does;
    - mirrored: along all axes, within each map;
    - shifted: by a third of the map along each axis, reflected at its end;
    - exchanged: between examples. This applies only to layers that are called
      with `affine` or `coordinates`.

    A model without coordinates can know the position from zero padding or from
    dense layers. The report then moves the image instead: it takes the middle
    three quarters of each image, on a canvas in the median color of the images'
    borders, and moves them to either end of each axis. Outputs with positions,
    such as segmentation maps, move with the image, and so do their targets.

    The model uses its position if a change other than "constant" makes a
    difference of at least a tenth of the metric's range in the table, and the
    95 % interval of the difference excludes 0. The interval is Student's t of
    up to ten parts of the examples, each compared with itself.

    Args:
        model: Functional or Sequential `keras.Model`, trained. Nested models
            are included.
        x: Inputs as for `model.predict`, arrays. A few hundred examples that
            the model has not been trained on are enough. Examples must be in
            random order.
        y: Targets as for `model.fit`, arrays.
        metric: Name of a compiled metric, or `"loss"`; a Keras metric or loss;
            or a function of `y` and the outputs. Defaults to the first metric
            that the model is compiled with, or else to the loss.
        batch_size: Integer, the maximum number of examples to compute at once.

    Returns:
        `CoordinateReport`: `print` shows a table and one sentence of advice,
        and `plot()` returns a figure, which needs matplotlib.

    Raises:
        ValueError: if the model is not a built Functional or Sequential model,
            if an argument does not match it, or if a CoordConv is inside a
            subclassed model or a wrapper, which has no graph to run.

    Example:

    >>> report = keras_coordconv.coordinate_report(model, x_test, y_test)
    >>> print(report)
    >>> report.plot().savefig("coordinates.png")
    """
    check_graph(model)
    inputs = flat_inputs(model, x)
    count = len(inputs[0])
    lengths = {len(array) for array in keras.tree.flatten(y)}
    if lengths != {count} or count < 2:
        raise ValueError(
            "`x` and `y` must have the same number of examples, at least 2. "
            f"Received: {count} and {sorted(lengths)} examples"
        )
    y = keras.tree.map_structure(np.asarray, y)
    score = _Score(model, metric)
    coordinate_layers = find_coordinate_layers(model)
    if coordinate_layers:
        reference, changed, note = _change_coordinates(
            model, inputs, coordinate_layers, batch_size
        )
    else:
        reference, changed, y, note = _move_images(model, inputs, y, batch_size)
    parts = np.array_split(np.arange(count), min(10, count))
    values = score.of_parts(y, reference, parts)
    deviation = [np.std(own.astype("float64")) for own in reference]
    rows = []
    for (where, change), outputs in changed:
        difference, interval = _mean_and_interval(
            score.of_parts(y, outputs, parts) - values
        )
        moved = [
            np.sqrt(np.mean(np.square(own - before, dtype="float64"))) / scale
            for own, before, scale in zip(
                outputs, reference, deviation, strict=True
            )
            if scale > 0
        ]
        rows.append(
            ReportRow(
                where,
                change,
                score(y, outputs),
                difference,
                interval,
                float(np.mean(moved)) if moved else 0.0,
            )
        )
    other = keras.tree.map_structure(lambda own: np.roll(own, 1, axis=0), y)
    difference, interval = _mean_and_interval(
        score.of_parts(other, reference, parts) - values
    )
    # Few examples cannot show that the model is no better than chance.
    has_learned = len(parts) < 10 or abs(difference) > interval
    report = CoordinateReport(
        score.name,
        score(y, reference),
        score(other, reference),
        rows,
        note,
        None,
        "",
    )
    uses, advice = _conclude(report, bool(coordinate_layers), has_learned)
    return dataclasses.replace(report, uses_position=uses, advice=advice)


def _mean_and_interval(values):
    """Returns the mean, and half the width of its 95 % interval."""
    error = np.std(values, ddof=1) / math.sqrt(len(values))
    return float(np.mean(values)), float(error * _QUANTILES[len(values) - 2])


class _Score:
    """The metric of a report.

    Attributes:
        name: String, the name of the metric.
    """

    def __init__(self, model, metric):
        self.model = model
        self.metric = metric
        self.name = getattr(metric, "name", None) or getattr(
            metric, "__name__", metric
        )
        if not (metric is None or isinstance(metric, str) or callable(metric)):
            raise ValueError(
                "`metric` must be a name, a metric, a loss or a function. "
                f"Received: metric={metric!r}"
            )
        if not callable(metric) and not getattr(model, "compiled", False):
            raise ValueError(
                "The model is not compiled. Compile it, or pass `metric`, such "
                "as keras.metrics.MeanSquaredError(). "
                f"Received: metric={metric!r}"
            )

    def __call__(self, y, outputs):
        """Computes the metric of flat outputs."""
        predicted = outputs[0]
        if isinstance(self.model, keras.Function):
            predicted = keras.tree.pack_sequence_as(self.model.output, outputs)
        if isinstance(self.metric, keras.metrics.Metric):
            self.metric.reset_state()
            self.metric.update_state(y, predicted)
            return float(self.metric.result())
        if callable(self.metric):
            values = ops.convert_to_tensor(self.metric(y, predicted))
            return float(np.mean(ops.convert_to_numpy(values)))
        return self._compiled(y, predicted)

    def of_parts(self, y, outputs, parts):
        """Computes the metric of each part of the examples."""
        return np.array(
            [
                self(
                    keras.tree.map_structure(lambda own: own[part], y),  # noqa: B023
                    [own[part] for own in outputs],
                )
                for part in parts
            ]
        )

    def _compiled(self, y, predicted):
        y, predicted = keras.tree.map_structure(
            ops.convert_to_tensor, (y, predicted)
        )
        if self.name != "loss":
            self.model.reset_metrics()
            results = self.model.compute_metrics(None, y, predicted)
            self.model.reset_metrics()
            names = [name for name in results if not name.endswith("loss")]
            if self.name is None:
                self.name = names[0] if names else "loss"
            elif self.name not in names:
                raise ValueError(
                    f"Unknown metric {self.name!r}. Available: "
                    f"{', '.join([*names, 'loss'])}"
                )
        if self.name != "loss":
            return float(results[self.name])
        loss = self.model.compute_loss(y=y, y_pred=predicted, training=False)
        return float(ops.convert_to_numpy(loss))


def _change_coordinates(model, inputs, coordinate_layers, batch_size):
    """Runs a model with changed coordinates.

    Returns:
        The outputs without changes; a list of pairs, of the changed layers and
        the change, and of the outputs; and a note on what does not apply.
    """
    means = mean_terms(model, inputs, batch_size)
    check_all_replaced(coordinate_layers, means)
    with_frames = set()

    def run(chosen, change):
        def call(layer, args, kwargs):
            if has_frame(kwargs):
                with_frames.add(layer)
            if layer in chosen:
                change_term = functools.partial(
                    _change, change=change, mean=means[layer], layer=layer
                )
                layer = with_changed_term(layer, change_term)
            return layer(*args, **kwargs)

        return run_in_batches(model, inputs, call, batch_size)

    reference = run((), None)
    groups = {"all coordinates": coordinate_layers}
    if len(coordinate_layers) > 1:
        groups |= {layer.name: [layer] for layer in coordinate_layers}
    changed = [
        ((where, change), run(chosen, change))
        for where, chosen in groups.items()
        for change in CHANGES
        if change != "exchanged" or with_frames & {*chosen}
    ]
    note = ""
    if not with_frames & {*coordinate_layers}:
        note = (
            "exchanged: does not apply, all examples have the same coordinates"
        )
    return reference, changed, note


def _change(term, change, mean, layer):
    """Changes the coordinates' contribution to the output of a layer."""
    axes = list(range(1, len(term.shape) - 1))
    if change == "constant":
        return ops.zeros_like(term) + ops.convert_to_tensor(mean, term.dtype)
    if change == "mirrored":
        return ops.flip(term, axes)
    if change == "exchanged":
        return ops.roll(term, 1, 0)
    for number, axis in enumerate(axes):
        index = _shifted(term.shape[axis], _border(layer, number))
        term = ops.take(term, index, axis)
    return term


def _shifted(size, border):
    """Returns the positions that a third of an axis is away from each position.

    They are reflected at the end, and the borders stay: jumps, or borders in
    the middle, would be unlike anything in training.
    """
    if size - 2 * border < 3:
        border = 0
    inside = size - 2 * border
    index = np.arange(inside) + round(inside / 3)
    index = np.minimum(index, 2 * (inside - 1) - index)
    positions = np.arange(size)
    positions[border : size - border] = index + border
    return positions


def _border(layer, axis):
    """Returns how far from the border the kernel of a layer reaches padding."""
    if not hasattr(layer, "kernel_size"):
        return 0
    return layer.dilation_rate[axis] * (layer.kernel_size[axis] - 1) // 2


def _move_images(model, inputs, y, batch_size):
    """Runs a model on images whose content is at different positions.

    Returns:
        The outputs for the middle; a list of pairs, of what was moved and how,
        and of the outputs; the targets of these outputs; and a note.
    """
    is_last = data_format_of(model) != "channels_first"
    numbers = [
        number
        for number, (name, array) in enumerate(
            zip(input_names(model), inputs, strict=True)
        )
        if name != "affine" and array.ndim > 2
    ]
    sizes = {
        inputs[n].shape[1:-1] if is_last else inputs[n].shape[2:]
        for n in numbers
    }
    if len(sizes) != 1:
        raise ValueError(
            "A model without coordinates needs images of one size, to move "
            f"them. Received: inputs of shape {[own.shape for own in inputs]}"
        )
    (size,) = sizes
    rank = len(size)
    outputs, calls = follow_maps(model, maps_of_inputs(model, size))
    outputs = keras.tree.flatten(outputs)
    steps = [1] * rank
    for known in (known for *_, made in calls for known in made):
        for axis, own in enumerate(known.axes or ()):
            steps[axis] = math.lcm(steps[axis], own.step.numerator)
    # If possible, by a multiple of the strides: the features of moved content
    # are then moved features.
    margins = [
        max(n // 8 // step * step or n // 8, 1)
        for n, step in zip(size, steps, strict=True)
    ]

    def run(offsets):
        moved = list(inputs)
        for number in numbers:
            moved[number] = _on_canvas(
                inputs[number], margins, offsets, 1 if is_last else 2
            )
        made = run_in_batches(
            model, moved, lambda f, args, kwargs: f(*args, **kwargs), batch_size
        )
        return [
            _window(own, known, offsets)
            for own, known in zip(made, outputs, strict=True)
        ]

    def _window(array, known, offsets):
        """Returns the part of an output that moves with the content."""
        # Labels may have no channels.
        has_channels = array.ndim == rank + 2
        first = 1 if is_last or not has_channels else 2
        own_sizes = array.shape[first : first + rank]
        scales = [1] * rank
        if known.axes is not None:
            scales = [axis.step for axis in known.axes]
        elif own_sizes != size:
            return array  # Without positions.
        slices = []
        for n, margin, offset, scale in zip(
            own_sizes, margins, offsets, scales, strict=True
        ):
            begin, removed = offset / scale, 2 * margin / scale
            if begin % 1 or margin / scale % 1 or removed >= n:
                raise ValueError(
                    "The image is too small to be moved by a multiple of the "
                    f"model's strides. Received: images of size {size} and "
                    f"an output of size {own_sizes}"
                )
            slices.append(slice(int(begin), int(begin + n - removed)))
        return array[(*[slice(None)] * first, *slices)]

    middle = run(margins)
    changed = []
    for axis, margin in enumerate(margins):
        for end, name in ((0, "start"), (2 * margin, "end")):
            offsets = [*margins[:axis], end, *margins[axis + 1 :]]
            where = f"moved by {margin} to the {name} of axis {axis}"
            changed.append((("images", where), run(offsets)))
    flat = [
        _window(own, known, margins)
        for own, known in zip(keras.tree.flatten(y), outputs, strict=True)
    ]
    return (
        middle,
        changed,
        keras.tree.pack_sequence_as(y, flat),
        "as it is: the middle of the images, in the middle of the canvas",
    )


def _on_canvas(images, margins, offsets, first_axis):
    """Moves the middle of images on a canvas of their size."""
    axes = range(first_axis, first_axis + len(margins))
    is_border = np.zeros([images.shape[axis] for axis in axes], bool)
    inside, here = [slice(None)] * images.ndim, [slice(None)] * images.ndim
    for axis, margin, offset in zip(axes, margins, offsets, strict=True):
        n = images.shape[axis]
        np.moveaxis(is_border, axis - first_axis, 0)[[0, -1]] = True
        inside[axis] = slice(margin, n - margin)
        here[axis] = slice(offset, offset + n - 2 * margin)
    channels_last = np.moveaxis(images, 1, -1) if first_axis == 2 else images
    color = np.median(channels_last[:, is_border], axis=(0, 1))
    shape = [1] * images.ndim
    shape[1 if first_axis == 2 else -1] = -1
    canvas = np.empty_like(images)
    canvas[...] = color.reshape(shape)
    canvas[tuple(here)] = images[tuple(inside)]
    return canvas


def _conclude(report, has_coordinates, has_learned):
    """Returns whether the model uses its position, and one sentence."""
    deciding = [row for row in report.rows if row.change != "constant"]
    large = [row for row in deciding if report.share(row) >= _MIN_SHARE]
    certain = [row for row in large if row.interval < abs(row.difference)]
    if large and not has_learned:
        return None, (
            "The model is no better than with exchanged targets on these "
            "examples: train it first, or pass more."
        )
    if certain:
        row = max(certain, key=report.share)
        found = (
            f"{row.where}: {row.change} changes {report.metric} from "
            f"{report.value:.4g} to {row.value:.4g}"
        )
        if has_coordinates:
            return True, (
                f"The model uses its coordinates ({found}). It may use them "
                "only because they are there: compare it with "
                "`remove_coordinates(model)` after both have been trained for "
                "the same time."
            )
        return True, (
            f"The model depends on the position without coordinates ({found}):"
            " coordinates may help, if the target depends on the position."
        )
    if large:
        row = max(large, key=report.share)
        return None, (
            "These examples do not suffice to decide: the difference of "
            f"{row.where}: {row.change} is {row.difference:+.3g} ± "
            f"{row.interval:.2g}; pass more."
        )
    if has_coordinates:
        constant = [row for row in report.rows if row not in deciding]
        small = [row for row in deciding if row.interval < abs(row.difference)]
        outputs = max(row.outputs for row in report.rows)
        if small and outputs >= _MIN_SHARE:
            row = max(small, key=report.share)
            return False, (
                f"The coordinates change the outputs, but {report.metric} by "
                f"little ({row.where}: {row.change}: {row.difference:+.3g} ± "
                f"{row.interval:.2g}): compare the model with a plain one that "
                "has been trained for the same time."
            )
        if max(map(report.share, constant)) < _MIN_SHARE:
            return False, (
                "The model does not use its coordinates: `remove_coordinates` "
                "makes it a plain model with nearly the same outputs."
            )
        return False, (
            "The model does not use its position, but expects coordinates: "
            "train it without them, for example after `remove_coordinates`."
        )
    return False, (
        "The model does not depend on the position: if the target does, "
        "convert it with `convert_to_coordconv`, for crops with `affine=True`."
    )
