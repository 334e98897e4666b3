"""The strategies of `tf.distribute` by their names, and how each is started."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from cvae_tf.core import terminal
from cvae_tf.core.errors import UserError
from cvae_tf.core.settings import find
from cvae_tf.training import handshake, stop_signals
from cvae_tf.training.cluster import Cluster
from cvae_tf.training.distribution import SINGLE, Distribution

_WATCH = """
import os, sys, time
seconds, watched, text = sys.argv[1:]
time.sleep(float(seconds))
if os.getppid() == int(watched):
    try:
        print(text, file=sys.stderr, flush=True)
    finally:
        os.kill(int(watched), 9)
"""
_LONGEST_START = 45.0  # seconds from the meeting to TensorFlow's own


@contextlib.contextmanager
def together(name: str, logical_cpus: int, asked: dict[str, Any]) -> Iterator[Distribution]:
    """Starts a strategy; within it the end of another worker is an error, and the chief speaks.

    Arguments and errors are those of `start`.

    Yields:
        What was started.
    """
    distribution = start(name, logical_cpus, asked)
    with distribution.among_others(), contextlib.ExitStack() as stack:
        if not distribution.is_chief:
            stack.enter_context(terminal.verbosity(0))
        yield distribution


def start(name: str, logical_cpus: int, asked: dict[str, Any]) -> Distribution:
    """Prepares TensorFlow for a strategy; to be called before it is used.

    Args:
        name: in `STRATEGIES`.
        logical_cpus: how many devices the processor is to count as; 0: one.
        asked: the settings that were given, which must be the same on all workers.

    Raises:
        UserError: if there are no such devices, or the other workers cannot be reached.
    """
    if logical_cpus and name != "mirrored":
        raise UserError("--logical_cpus is for --strategy=mirrored.")
    return find("strategy", STRATEGIES, name)(logical_cpus, asked)


def single(_logical_cpus: int, _asked: dict[str, Any]) -> Distribution:
    """One device."""
    return SINGLE


def mirrored(logical_cpus: int, _asked: dict[str, Any]) -> Distribution:
    """All GPUs of this machine; or as many parts of its processor."""
    if logical_cpus:
        _divide_processor(logical_cpus)
        return Distribution(
            tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(logical_cpus)])
        )
    gpus = tf.config.list_logical_devices("GPU")
    if not gpus:
        raise UserError(
            "--strategy=mirrored: TensorFlow sees no GPU; to try it on the processor, add "
            "--logical_cpus=2."
        )
    return Distribution(tf.distribute.MirroredStrategy([gpu.name for gpu in gpus]))


def _divide_processor(number: int) -> None:
    processor = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * number
    try:
        tf.config.set_logical_device_configuration(processor, parts)
    except RuntimeError:
        if len(tf.config.list_logical_devices("CPU")) < number:
            raise UserError(
                f"--logical_cpus={number}: TensorFlow is in use already; start Python anew."
            ) from None


def multiworker(_logical_cpus: int, asked: dict[str, Any]) -> Distribution:
    """As many machines as `TF_CONFIG` or Slurm names."""
    cluster = Cluster.from_environment()
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__}
    # Each machine may have its images elsewhere; they are compared themselves.
    settings = {name: value for name, value in asked.items() if name != "data_path"}
    devices = {"GPUs": len(tf.config.list_physical_devices("GPU"))}
    handshake.meet(cluster, {"settings": settings, "versions": versions, "devices": devices})
    with _limited_wait(), stop_signals.kept():  # TensorFlow takes SIGTERM for itself
        return Distribution(tf.distribute.MultiWorkerMirroredStrategy(), cluster)


@contextlib.contextmanager
def _limited_wait() -> Iterator[None]:
    """Ends the process if a worker has gone since all met, for which TensorFlow would wait an hour.

    It cannot be interrupted in that, by no signal and by no thread of this process; so another
    process watches.
    """
    text = (
        "error: --strategy=multiworker: a worker has gone before training began; start all again."
    )
    own = [str(_LONGEST_START), str(os.getpid()), text]
    watch = subprocess.Popen([sys.executable, "-c", _WATCH, *own])
    try:
        yield
    finally:
        watch.kill()
        watch.wait()


STRATEGIES = {"single": single, "mirrored": mirrored, "multiworker": multiworker}
