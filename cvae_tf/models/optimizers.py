"""The optimizer and its schedule, from plain numbers."""

import inspect
from collections.abc import Callable

import keras
import tensorflow as tf

from cvae_tf.core.settings import find

# Weight decay would only change scale and offset there, not complexity.
_NOT_DECAYED = ("bias", "gamma", "beta", "gains", "shifts")


@keras.saving.register_keras_serializable(package="cvae_tf")
class FusedAdam(keras.optimizers.Adam):
    """Adam that updates a variable by one kernel, in one pass over memory.

    The update is that of `keras.optimizers.Adam` (Kingma & Ba 2015, the form before section 2.1),
    which takes a dozen passes; its weight decay is that of AdamW (Loshchilov & Hutter 2019).
    """

    def __init__(self, *arguments, **options):
        """Takes what Adam takes; only kernels decay, also if a user makes the optimizer."""
        super().__init__(*arguments, **options)
        self.exclude_from_weight_decay(var_names=_NOT_DECAYED)

    def update_step(self, gradient, variable, learning_rate):
        """Updates one variable and its two moments."""
        step = tf.cast(self.iterations + 1, tf.float32)
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(self.beta_1, step),
            beta2_power=tf.pow(self.beta_2, step),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, tf.float32),
        )

    def _all_reduce_sum_gradients(self, grads_and_vars):
        """Adds the gradients of all replicas, if there are several.

        Keras calls TensorFlow even for a single replica, which then keeps the graph of the step
        until the process ends (`tf.custom_gradient`): megabytes for each trained model.
        """
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            return super()._all_reduce_sum_gradients(grads_and_vars)
        return list(grads_and_vars)


_OF_KERAS = (
    *("AdamW", "Adamax", "Nadam", "RMSprop", "SGD", "Lion", "Muon"),
    *("Adagrad", "Adadelta", "Adafactor", "Lamb", "Ftrl"),
)
OPTIMIZERS = {
    "adam": FusedAdam,
    **{name.lower(): getattr(keras.optimizers, name) for name in _OF_KERAS},
}


@keras.saving.register_keras_serializable(package="cvae_tf")
class ConstantThenLine(keras.optimizers.schedules.LearningRateSchedule):
    """Constant for half of the steps, then falls linearly to a share of that rate."""

    def __init__(self, learning_rate: float, total_steps: int, ends_at: float = 0.3):
        """Takes the largest rate, the number of steps in all, and the share."""
        self.learning_rate, self.total_steps, self.ends_at = learning_rate, total_steps, ends_at

    def __call__(self, step):
        """The rate at a step."""
        share_left = 1.0 - tf.cast(step, tf.float32) / self.total_steps
        line = tf.clip_by_value(2.0 * share_left, 0.0, 1.0)
        return self.learning_rate * (self.ends_at + (1 - self.ends_at) * line)

    def get_config(self):
        """Returns what the schedule is made again from."""
        return {
            "learning_rate": self.learning_rate,
            "total_steps": self.total_steps,
            "ends_at": self.ends_at,
        }


def build_optimizer(
    learning_rate: float,
    schedule: str = "constant",
    total_steps: int = 0,
    warmup_steps: int = 0,
    weight_decay: float = 0.0,
    clip_norm: float = 0.0,
    name: str = "adam",
    ema: float = 0.0,
    **options: float,
) -> keras.Optimizer:
    """Makes the optimizer of a run.

    Args:
        learning_rate: the largest one in the schedule.
        schedule: "constant"; "cosine": a linear warm-up, then half a cosine down to 0; or "linear":
            constant in the first half, then linearly down to three tenths.
        total_steps: of the whole run; at most a tenth of them is warm-up.
        warmup_steps: of the cosine schedule.
        weight_decay: of the kernels, relative to the learning rate.
        clip_norm: the largest norm of all gradients together; larger ones are scaled down; 0 for no
            limit.
        name: in `OPTIMIZERS`.
        ema: decay of the averages of the weights that it keeps (`training/trainer.py`); 0 for none.
        **options: of that optimizer alone, such as beta_1.
    """
    if schedule == "linear":
        learning_rate = ConstantThenLine(learning_rate, total_steps)
    if schedule == "cosine":
        warmup_steps = min(warmup_steps, total_steps // 10)
        learning_rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0,
            warmup_target=learning_rate,
            warmup_steps=warmup_steps,
            decay_steps=total_steps - warmup_steps,
        )
    make, averages = find("optimizer", OPTIMIZERS, name), {"use_ema": True, "ema_momentum": ema}
    optimizer = make(
        learning_rate,
        global_clipnorm=clip_norm or None,
        **_decays(make, weight_decay),
        **(averages if ema else {}),
        **options,
    )
    if weight_decay:
        optimizer.exclude_from_weight_decay(var_names=_NOT_DECAYED)
    return optimizer


def _decays(make: Callable[..., keras.Optimizer], wanted: float) -> dict[str, float | None]:
    """The weight decay to pass to an optimizer: some of Keras decay by default."""
    usual = {name: each.default for name, each in inspect.signature(make).parameters.items()}
    names = ["weight_decay", *(name for name in usual if name.endswith("_weight_decay"))]
    return {name: wanted or (0.0 if usual.get(name) else None) for name in names}
