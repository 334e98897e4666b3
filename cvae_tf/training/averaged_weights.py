"""Averages of the weights over the last steps, which the optimizer keeps if it is asked to.

Polyak & Juditsky, "Acceleration of stochastic approximation by averaging" (1992), with a decay.
"""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from cvae_tf.models.base import GenerativeModel


@contextlib.contextmanager
def averaged(model: GenerativeModel) -> Iterator[None]:
    """Within it, the weights of a model are their averages; without averages nothing changes."""
    if not _has_averages(model):
        model.settle()
        yield
        return
    own = [tf.identity(weight) for weight in model.optimized_variables]
    was_within, model.is_averaged = is_within(model), True
    try:
        take_averages(model)
        yield
    finally:
        for weight, value in zip(model.optimized_variables, own, strict=True):
            weight.assign(value)
        model.is_averaged = was_within


def is_within(model: GenerativeModel) -> bool:
    """Whether the weights of a model are not those that learn: within `averaged`, or broken off.

    They are then not to be kept: Ctrl-C may strike anywhere, also where they are put back.
    """
    return getattr(model, "is_averaged", False)


def take_averages(model: GenerativeModel) -> None:
    """Makes the weights of a model their averages, if there are any; it is not to learn on."""
    if _has_averages(model):
        model.optimizer.finalize_variable_values(model.optimized_variables)
    model.settle()


def _has_averages(model: GenerativeModel) -> bool:
    return model.optimizer.use_ema and int(model.steps.numpy()) > 0
