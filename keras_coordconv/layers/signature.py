"""The signature of a layer with coordinates in `help()` and in editors."""

import inspect

import keras


class CombinedSignature:
    """`__signature__` of a class: the Keras layer's arguments, then ours.

    Python would show `*args, **kwargs`. A class that defines its own `__init__`
    keeps the signature of that method (with `None`, `inspect` uses it). The
    signature of calling an instance is not changed either.

    Args:
        own_arguments: Sequence of strings, the arguments of the mixin's
            `__init__` that follow the arguments of the Keras layer.
    """

    def __init__(self, own_arguments):
        self.own_arguments = own_arguments

    def __set_name__(self, mixin, name):
        self.mixin = mixin

    def __get__(self, instance, cls):
        if instance is not None:
            raise AttributeError("__signature__")
        owner = next(base for base in cls.__mro__ if "__init__" in vars(base))
        if owner is not self.mixin or not issubclass(cls, keras.layers.Layer):
            return None
        keras_layer = next(
            base
            for base in cls.__mro__[cls.__mro__.index(self.mixin) :]
            if issubclass(base, keras.layers.Layer)
        )
        *inherited, kwargs = inspect.signature(keras_layer).parameters.values()
        own = inspect.signature(self.mixin.__init__).parameters
        return inspect.Signature(
            [*inherited, *(own[name] for name in self.own_arguments), kwargs]
        )
