"""How TensorFlow shares out the cores: half of them to each half of a batch (see `model.py`)."""

import os

import tensorflow as tf

from cvae_tf.core.errors import UserError


def set_threads(threads: int) -> None:
    """Sets the threads of TensorFlow, which must not have been used yet.

    Args:
        threads: in all; 0 for as many as there are cores, if that can still be set.

    Raises:
        UserError: if they were asked for too late.
    """
    halves = 1 if threads == 1 else 2
    try:
        tf.config.threading.set_inter_op_parallelism_threads(halves)
        tf.config.threading.set_intra_op_parallelism_threads(
            max((threads or _count_cores()) // halves, 1)
        )
    except RuntimeError as error:
        if threads:
            raise UserError("--threads must be set before TensorFlow is first used.") from error


def _count_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))  # the ones that this process may use
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1
