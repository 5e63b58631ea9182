"""Copies models with some of their layers replaced."""

import contextlib
import tempfile
import types

import keras
import numpy as np
from keras import ops


def rebuild(model, replace):
    """Copies a model and replaces some of its layers.

    All other layers are recreated from their configs, and their state is copied
    by Keras's own saving: variables, random seeds, tables. A layer without
    variables that Keras cannot recreate is shared by both models.

    Args:
        model: Functional or Sequential `keras.Model`, built.
        replace: Function of a layer, the first tensor that the copy calls it
            with, a dictionary of the `affine` or `coordinates` of that call,
            and the copy's inputs. It returns what to call instead of the layer,
            or `None` to copy the layer. It must copy the state of the layers
            that it replaces. Nested models are rebuilt, not replaced.

    Returns:
        A new `keras.Model`, not compiled.

    Raises:
        ValueError: if the model is not a graph of layers, or if a layer cannot
            be copied.
    """
    check_graph(model)
    copies = {}

    def copy(layer, arguments, inputs):
        if not isinstance(layer, keras.Layer):
            return layer  # An operation of `keras.ops`: it has no state.
        first_argument = keras.tree.flatten(arguments)[0]
        _, keywords = arguments
        frame = {
            name: keywords[name]
            for name in ("affine", "coordinates")
            if keywords.get(name) is not None
        }
        new_layer = replace(layer, first_argument, frame, inputs)
        if new_layer is not None:
            return new_layer
        if layer not in copies:
            make = copy_graph if is_graph(layer) else _copy_without_state
            copies[layer] = make(layer)
        return copies[layer]

    def copy_graph(model):
        if isinstance(model, keras.Sequential):
            tensor, new_layers = model.inputs[0], []
            new_input = _like_input(model, tensor)
            for layer in model.layers:
                new_layers.append(copy(layer, ([tensor], {}), [new_input]))
                tensor = layer.compute_output_spec(tensor)
            return keras.Sequential([new_input, *new_layers], name=model.name)

        inputs = keras.tree.map_structure(
            lambda tensor: _like_input(model, tensor), model.input
        )
        return keras.models.clone_model(
            model,
            input_tensors=inputs,
            clone_function=lambda layer: layer,
            call_function=lambda layer, *args, **kwargs: copy(
                layer, (args, kwargs), inputs
            )(*args, **kwargs),
        )

    with _not_compiled(model):
        new_model = copy_graph(model)
    # Outermost first: setting the flag of a model sets it on all its layers.
    copies = {model: new_model, **dict(reversed(copies.items()))}
    trainable = [layer.trainable for layer in copies]
    for new_layer, flag in zip(copies.values(), trainable, strict=True):
        new_layer.trainable = flag
    moved = {}
    for layer, new_layer in copies.items():
        if new_layer is not layer and not is_graph(layer):
            _move_state(layer, new_layer, moved)
    return new_model


def in_float32(model):
    """Copies a model, with its weights, to compute in float32.

    Half-precision graphs round differently: an export could not be compared
    with the model.

    Args:
        model: Functional `keras.Model`, built.

    Returns:
        A new `keras.Model`, not compiled.
    """
    copy = keras.models.clone_model(
        model, clone_function=lambda layer: remake(layer, dtype="float32")
    )
    copy.set_weights(model.get_weights())
    return copy


def is_graph(layer):
    """Returns whether a layer is a model that its graph fully defines."""
    if not isinstance(layer, (keras.Sequential, keras.Function)):
        return False
    owner = next(base for base in type(layer).__mro__ if "call" in vars(base))
    return (
        isinstance(layer, keras.Model)
        and owner.__module__.startswith("keras.")
        and bool(getattr(layer, "inputs", None))
    )


def check_graph(model):
    """Checks that a model is built, and that its graph fully defines it."""
    if not is_graph(model) or not model.built:
        raise ValueError(
            "`model` must be a built Functional or Sequential keras.Model, "
            "without its own `call` method. "
            f"Received: model={model}. Add a keras.Input, or call it once; "
            "custom layers in wrappers need `compute_output_shape`."
        )


def all_layers(layer):
    """Yields all layers inside a layer, in their order and recursively."""
    for inner in layer._flatten_layers(include_self=False, recursive=False):
        yield inner
        yield from all_layers(inner)


def remake(layer, cls=None, without=(), **changes):
    """Creates a layer from the config of another layer, without its weights.

    Args:
        layer: Layer whose config is used.
        cls: Class of the new layer. Defaults to the class of `layer`.
        without: Names of arguments to leave out.
        **changes: Arguments to change.

    Raises:
        ValueError: if Keras cannot create the layer from its config.
    """
    try:
        config = layer.get_config()
        for name, value in config.items():
            own = getattr(layer, name, None)
            # Keras cannot find a lambda by its name, and may find a built-in
            # function by the name of a custom one.
            if (
                isinstance(own, types.FunctionType)
                and not _is_of_keras(own)
                and not _is_named_function(value)
            ):
                config[name] = own
        for name in without:
            config.pop(name, None)
        config.update(changes)
        with keras.saving.custom_object_scope(_custom_objects(layer)):
            return (cls or type(layer)).from_config(config)
    except Exception as error:
        raise _copy_error("recreate it", layer, error) from error


def _copy_without_state(layer):
    try:
        return remake(layer)
    except ValueError:
        if layer.variables:
            raise
        return layer


def _custom_objects(layer):
    """Returns the classes and functions of a layer, registered or not."""
    found = {}
    for owner in [layer, *all_layers(layer)]:
        values = [getattr(owner, name, None) for name in owner.get_config()]
        functions = [v for v in values if isinstance(v, types.FunctionType)]
        for value in [*map(type, [owner, *values]), *functions]:
            if not _is_of_keras(value):
                name = keras.saving.get_registered_name(value)
                if found.setdefault(name, value) is not value:
                    raise ValueError(f"it uses two objects named {name!r}")
    return found


def _is_named_function(value):
    return isinstance(value, dict) and value.get("class_name") == "function"


def _is_of_keras(value):
    """Returns whether Keras finds a class or a function by itself."""
    return value.__module__.split(".")[0] in ("keras", "builtins")


def _like_input(model, tensor):
    """Creates a `keras.Input` like an input of a model."""
    layer = next(
        layer
        for layer in all_layers(model)
        if isinstance(layer, keras.layers.InputLayer) and layer.output is tensor
    )
    return keras.Input(**layer.get_config())


@contextlib.contextmanager
def _not_compiled(model):
    """Keeps `clone_model` from compiling the copy of a compiled model."""
    compiled = [
        layer
        for layer in [model, *all_layers(model)]
        if getattr(layer, "compiled", False)
    ]
    for layer in compiled:
        layer.compiled = False
    try:
        yield
    finally:
        for layer in compiled:
            layer.compiled = True


def _move_state(layer, new_layer, moved):
    """Copies the state of a layer to its copy, as saving and loading would.

    Args:
        moved: Dictionary from the ids of the variables copied so far to their
            copies.
    """
    try:
        for old, new in zip(
            [layer, *all_layers(layer)],
            [new_layer, *all_layers(new_layer)],
            strict=True,
        ):
            new.trainable = old.trainable
            store = {}
            old.save_own_variables(store)
            new.load_own_variables(
                {name: _value(value) for name, value in store.items()}
            )
            if hasattr(old, "save_assets"):
                with tempfile.TemporaryDirectory() as folder:
                    old.save_assets(folder)
                    new.load_assets(folder)
        # Keras does not save random seeds, nor which variables are frozen.
        for old, new in zip(
            *_in_one_order(layer.variables, new_layer.variables), strict=True
        ):
            new.assign(_value(old))
            new.trainable = old.trainable
            if moved.setdefault(id(old), new) is not new:
                raise ValueError(f"it shares {old.path} with another layer")
    except Exception as error:
        raise _copy_error("save and reload it", layer, error) from error


def _in_one_order(variables, others):
    """Sorts two lists of variables alike, if they have the same names.

    In float8, a new layer has its variables in a different order. Unnamed
    variables have different numbers.
    """
    names, other_names = ([v.name for v in x] for x in (variables, others))
    if sorted(names) != sorted(other_names):
        return variables, others
    return (
        sorted(variables, key=lambda variable: names.index(variable.name)),
        sorted(others, key=lambda variable: names.index(variable.name)),
    )


def _value(variable):
    """Returns a NumPy copy: training may reuse the memory of an array."""
    return np.array(ops.convert_to_numpy(variable))


def _copy_error(step, layer, error):
    # Keras appends whole configs to its messages.
    reason = str(error).strip().split("\n")[0][:300]
    return ValueError(
        f"Cannot copy the layer {layer}: Keras cannot {step} ({reason}). See "
        "get_config and keras.saving.register_keras_serializable."
    )
