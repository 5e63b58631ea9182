"""Optimizers of the experiments, and learning rates over the steps."""

import keras
from keras import ops

# The epochs at which the paper's code lowers the rate of its supervised tasks.
PAPER_DROPS = (200, 400, 600, 800)


def paper_adam(args, steps_per_epoch):
    """Adam with the paper's constants, at a rate that the flags say.

    Args:
        args: Flags, those of `scheduled_rate` and `learning_rate`.
        steps_per_epoch: Integer, batches an epoch.

    Returns:
        A `keras.optimizers.Adam`.
    """
    return adam(
        scheduled_rate(
            args.learning_rate, args, steps_per_epoch, drops=PAPER_DROPS
        )
    )


def adam(learning_rate, beta_1=0.9):
    """Adam with the paper's constants.

    Args:
        learning_rate: Float, or a schedule.
        beta_1: Float, the momentum, 0.9 in the paper.
    """
    return keras.optimizers.Adam(
        learning_rate, beta_1=beta_1, beta_2=0.99, epsilon=1e-8
    )


def cosine_adam(args, steps_per_epoch):
    """Keras's Adam at a rate that falls as half a cosine.

    Args:
        args: Flags with `learning_rate` and `epochs`.
        steps_per_epoch: Integer, batches an epoch.

    Returns:
        A `keras.optimizers.Adam`.
    """
    return keras.optimizers.Adam(
        warmup_cosine(args.learning_rate, args.epochs * steps_per_epoch)
    )


def scheduled_rate(learning_rate, args, steps_per_epoch, drops):
    """Learning rate as the flags have it: warm-up, then a cosine or steps.

    Args:
        learning_rate: Float, the highest rate.
        args: Flags with `schedule`, `epochs` and `warmup_epochs`.
        steps_per_epoch: Integer, batches an epoch.
        drops: Sequence of numbers, the epochs after which the schedule
            `"steps"` goes on with a tenth of the rate.

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
    """Learning rate that rises from zero in a line, then falls as a cosine.

    Args:
        learning_rate: Float, the highest rate.
        total_steps: Integer, steps of the training. At its end the rate is
            zero.
        warmup_steps: Integer, steps in which the rate rises.

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
    """Learning rate that rises from zero in a line, then falls in steps.

    Args:
        learning_rate: Float, the highest rate.
        boundaries: List of integers. From each of these steps on, the rate is
            a tenth of what it was before.
        warmup_steps: Integer, steps in which the rate rises.

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
