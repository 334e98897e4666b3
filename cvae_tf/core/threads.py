"""How TensorFlow shares out the cores: half of them to each half of a batch (`models.base`)."""

import os

import tensorflow as tf


def set_threads(threads: int) -> bool:
    """Sets the threads of TensorFlow, which keeps those that it has if it was used before.

    Args:
        threads: in all; 0 for as many as there are cores.

    Returns:
        Whether TensorFlow has that many threads now.
    """
    inter = 1 if threads == 1 else 2
    intra = max((threads or count_cores()) // inter, 1)
    setting = tf.config.threading
    try:
        setting.set_inter_op_parallelism_threads(inter)
        setting.set_intra_op_parallelism_threads(intra)
    except RuntimeError:  # it is in use
        now = setting.get_inter_op_parallelism_threads(), setting.get_intra_op_parallelism_threads()
        return now == (inter, intra)
    return True


def count_cores() -> int:
    """Counts the cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1
