"""The ways of running a model, and of taking its gradients.

A way of running is a function of a model and a dictionary of its inputs. It
returns a dictionary of outputs.

A way of taking gradients is a function of a model, a dictionary of its layers,
and dictionaries of its inputs and of the gradients of its outputs. It returns
three dictionaries: outputs, gradients of the inputs that are no integers, and
lists of the gradients of a layer's weights.
"""

import tempfile

import keras
import numpy as np
from keras import ops


def eager(model, inputs):
    return model(inputs)


def jit(model, inputs):
    """`jax.jit`."""
    import jax

    return jax.jit(model.stateless_call)(*stateless_arguments(model), inputs)[0]


def stateless_arguments(model):
    return (
        [variable.value for variable in model.trainable_variables],
        [variable.value for variable in model.non_trainable_variables],
    )


def predict(model, inputs):
    """Keras wants as many frames as examples, also where all are the same."""
    batch = max(map(len, inputs.values()))
    inputs = {
        name: np.repeat(array, batch // len(array), axis=0)
        for name, array in inputs.items()
    }
    return model.predict(inputs, verbose=0)


def function(model, inputs):
    """`tf.function` that knows all sizes, that of the batch too."""
    import tensorflow as tf

    return tf.function(model)(to_tensors(inputs))


def function_of_unknown_sizes(model, inputs):
    return with_signature(model)(to_tensors(inputs))


def jit_compiled_function(model, inputs):
    return with_signature(model, jit_compile=True)(to_tensors(inputs))


def with_signature(model, **arguments):
    import tensorflow as tf

    return tf.function(
        model, input_signature=[signature(model.input)], **arguments
    )


def signature(symbolic):
    """What a graph is told of tensors: unknown sizes stay unknown."""
    import tensorflow as tf

    return {
        name: tf.TensorSpec(tensor.shape, tensor.dtype)
        for name, tensor in symbolic.items()
    }


def to_tensors(arrays):
    return {name: ops.convert_to_tensor(a) for name, a in arrays.items()}


def saved_model(model, inputs):
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, verbose=False)
        loaded = tf.saved_model.load(folder)
        return loaded.serve(to_tensors(inputs))


def tflite(model, inputs):
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        # Without Flex: conversion fails where TFLite has no operation.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        interpreter = tf.lite.Interpreter(model_content=converter.convert())
    return interpreter.get_signature_runner()(**inputs)


def onnx_runtime(model, inputs):
    import onnxruntime

    # Keras's exporter does not take inputs by name, nor a model that never ran.
    listed = keras.Model([*model.input.values()], [*model.output.values()])
    listed([*inputs.values()])
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/model.onnx"
        listed.export(path, format="onnx", verbose=False)
        session = onnxruntime.InferenceSession(path)
    names = [source.name for source in session.get_inputs()]
    outputs = session.run(None, dict(zip(names, inputs.values(), strict=True)))
    return dict(zip(model.output, outputs, strict=True))


def graph_gradients(model, layers, inputs, output_gradients, **arguments):
    import tensorflow as tf

    signatures = [signature(model.input), signature(model.output)]

    @tf.function(input_signature=signatures, **arguments)
    def run(inputs, output_gradients):
        weights = {
            name: [weight.value for weight in layer.weights]
            for name, layer in layers.items()
        }
        floats = {
            name: tensor
            for name, tensor in inputs.items()
            if tensor.dtype.is_floating
        }
        with tf.GradientTape() as tape:
            tape.watch(floats)
            outputs = model(inputs, training=True)
        by_input, by_weight = tape.gradient(
            list(outputs.values()),
            [floats, weights],
            [output_gradients[name] for name in outputs],
        )
        return outputs, by_input, by_weight

    output_gradients = {
        name: ops.cast(array, model.output[name].dtype)
        for name, array in output_gradients.items()
    }
    return run(to_tensors(inputs), output_gradients)


def jit_compiled_gradients(*arguments):
    return graph_gradients(*arguments, jit_compile=True)


def jit_gradients(model, layers, inputs, output_gradients):
    import jax

    trainable, others = stateless_arguments(model)
    floats = {
        name: array
        for name, array in inputs.items()
        if array.dtype == np.float32
    }

    @jax.jit
    def run(trainable, floats):
        def outputs(trainable, floats):
            return model.stateless_call(
                trainable, others, {**inputs, **floats}, training=True
            )[0]

        values, pull_back = jax.vjp(outputs, trainable, floats)
        return values, *pull_back(
            {
                name: ops.cast(output_gradients[name], value.dtype)
                for name, value in values.items()
            }
        )

    values, by_variable, by_input = run(trainable, floats)
    by_variable = {
        variable.path: gradient
        for variable, gradient in zip(
            model.trainable_variables, by_variable, strict=True
        )
    }
    by_weight = {
        name: [by_variable[weight.path] for weight in layer.weights]
        for name, layer in layers.items()
    }
    return values, by_input, by_weight


def torch_gradients(model, layers, inputs, output_gradients):
    inputs = to_tensors(inputs)
    floats = {
        name: tensor.requires_grad_()
        for name, tensor in inputs.items()
        if tensor.is_floating_point()
    }
    outputs = model(inputs, training=True)
    for weight in model.trainable_weights:
        weight.value.grad = None
    sum(
        (outputs[name] * ops.cast(array, outputs[name].dtype)).sum()
        for name, array in output_gradients.items()
    ).backward()
    by_input = {name: tensor.grad for name, tensor in floats.items()}
    by_weight = {
        name: [weight.value.grad for weight in layer.weights]
        for name, layer in layers.items()
    }
    return outputs, by_input, by_weight
