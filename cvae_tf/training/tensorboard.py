"""Scalars and pictures of a run for TensorBoard, which is an optional package."""

import importlib.util
from pathlib import Path

import imageio.v3 as iio
import tensorflow as tf

from cvae_tf.core.errors import UserError


class Summaries:
    """Writes what TensorBoard shows of each epoch."""

    def __init__(self, directory: Path):
        """Begins a file of events.

        Args:
            directory: for TensorBoard's --logdir.

        Raises:
            UserError: if TensorBoard is not installed.
        """
        check_tensorboard()
        self._writer = tf.summary.create_file_writer(str(directory))

    def write(self, row: dict[str, float], picture: Path) -> None:
        """Adds the row of an epoch in `metrics.csv`, and its picture."""
        with self._writer.as_default(step=row["epoch"]):
            for name, value in row.items():
                if name not in ("epoch", "step"):
                    tf.summary.scalar(name, value)
            tf.summary.image("epoch", iio.imread(picture)[None, ..., :3])
        self._writer.flush()


def check_tensorboard() -> None:
    """Raises a UserError if TensorBoard, without which nothing can be written, is missing."""
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError("--tensorboard needs another package: pip install tensorboard")
