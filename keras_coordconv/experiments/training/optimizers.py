"""Optimizers and learning-rate schedules of the experiments."""

import keras
from keras import ops

# Epochs at which the paper's code lowers the learning rate of supervised tasks.
PAPER_DROPS = (200, 400, 600, 800)


def paper_adam(args, steps_per_epoch):
    """Creates Adam with the paper's constants and the schedule of the flags.

    Args:
        args: Flags with `learning_rate`, `schedule`, `epochs` and
            `warmup_epochs`.
        steps_per_epoch: Integer, batches per epoch.

    Returns:
        A `keras.optimizers.Adam`.
    """
    return adam(
        scheduled_rate(
            args.learning_rate, args, steps_per_epoch, drops=PAPER_DROPS
        )
    )


def adam(learning_rate, beta_1=0.9):
    """Creates Adam with the paper's constants.

    Args:
        learning_rate: Float or learning-rate schedule.
        beta_1: Float, 0.9 in the paper.

    Returns:
        A `keras.optimizers.Adam`.
    """
    return keras.optimizers.Adam(
        learning_rate, beta_1=beta_1, beta_2=0.99, epsilon=1e-8
    )


def cosine_adam(args, steps_per_epoch):
    """Creates Adam with Keras's constants and cosine decay.

    Args:
        args: Flags with `learning_rate` and `epochs`.
        steps_per_epoch: Integer, batches per epoch.

    Returns:
        A `keras.optimizers.Adam`.
    """
    return keras.optimizers.Adam(
        warmup_cosine(args.learning_rate, args.epochs * steps_per_epoch)
    )


def scheduled_rate(learning_rate, args, steps_per_epoch, drops):
    """Creates the schedule of the flags: warm-up, then cosine or step decay.

    Args:
        learning_rate: Float, peak learning rate.
        args: Flags with `schedule`, `epochs` and `warmup_epochs`.
        steps_per_epoch: Integer, batches per epoch.
        drops: Sequence of numbers, the epochs after which the schedule
            `"steps"` divides the learning rate by 10.

    Returns:
        A `keras.optimizers.schedules.LearningRateSchedule`.
    """
    warmup_steps = round(args.warmup_epochs * steps_per_epoch)
    if args.schedule == "cosine":
        return warmup_cosine(
            learning_rate, args.epochs * steps_per_epoch, warmup_steps
        )
    boundaries = [round(epoch * steps_per_epoch) for epoch in drops]
    return WarmupSteps(learning_rate, boundaries, warmup_steps)


def warmup_cosine(learning_rate, total_steps, warmup_steps=0):
    """Creates a schedule with linear warm-up and cosine decay to zero.

    Args:
        learning_rate: Float, peak learning rate.
        total_steps: Integer, number of training steps.
        warmup_steps: Integer, number of steps of the warm-up.

    Returns:
        A `keras.optimizers.schedules.LearningRateSchedule`.
    """
    if not warmup_steps:
        return keras.optimizers.schedules.CosineDecay(
            learning_rate, total_steps
        )
    return keras.optimizers.schedules.CosineDecay(
        0.0,
        total_steps - warmup_steps,
        warmup_target=learning_rate,
        warmup_steps=warmup_steps,
    )


@keras.saving.register_keras_serializable(package="keras_coordconv")
class WarmupSteps(keras.optimizers.schedules.LearningRateSchedule):
    """Learning-rate schedule with linear warm-up and step decay.

    Args:
        learning_rate: Float, peak learning rate.
        boundaries: List of integers, the steps at which the learning rate is
            divided by 10.
        warmup_steps: Integer, number of steps of the warm-up.

    Example:

    >>> schedule = WarmupSteps(0.1, boundaries=[30, 60], warmup_steps=5)
    >>> [round(float(schedule(step)), 4) for step in (0, 5, 29, 30, 60)]
    [0.0, 0.1, 0.1, 0.01, 0.001]
    """

    def __init__(self, learning_rate, boundaries, warmup_steps=0):
        super().__init__()
        self.learning_rate = learning_rate
        self.boundaries = list(boundaries)
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rate = ops.convert_to_tensor(self.learning_rate, "float32")
        if self.warmup_steps:
            rate = rate * ops.minimum(step / self.warmup_steps, 1.0)
        for boundary in self.boundaries:
            rate = ops.where(step < boundary, rate, 0.1 * rate)
        return rate

    def get_config(self):
        return {
            "learning_rate": self.learning_rate,
            "boundaries": self.boundaries,
            "warmup_steps": self.warmup_steps,
        }


@keras.saving.register_keras_serializable(package="keras_coordconv")
class RMSpropTFStyle(keras.optimizers.RMSprop):
    """RMSprop with its accumulator initialized to one, as in TensorFlow 1.

    With zeros, the first steps are as large as the learning rate allows,
    whatever the gradients. A2C is known to be sensitive to this, and its
    published results were obtained with ones.
    """

    def add_optimizer_variables(
        self, trainable_variables, name, initializer="zeros"
    ):
        if name == "velocity":
            initializer = "ones"
        return super().add_optimizer_variables(
            trainable_variables, name, initializer
        )
