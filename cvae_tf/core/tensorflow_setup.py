"""Sets up TensorFlow and Keras: quiet, with the usual settings, on all cores.

They are imported inside functions, because some settings must come before the import.
"""

import contextlib
import gc
import json
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

from cvae_tf.core import paths, terminal
from cvae_tf.core.errors import UserError

_BACKEND = "tensorflow"
_LOCK = threading.RLock()  # Keras has its settings once for the process


@contextlib.contextmanager
def quiet_import() -> Iterator[None]:
    """Within it, TensorFlow is imported quietly, if it was not before.

    Its first messages come before it reads its setting for the log; that setting hides later ones,
    about optimisations. Errors are raised as exceptions anyway.

    Raises:
        UserError: if Keras cannot be used as it is set up here.
    """
    check_backend()
    if "tensorflow" in sys.modules:
        yield
        return
    prepare_keras()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with held_back(), _nothing_collected():
        yield
        if "tensorflow" in sys.modules:
            sys.modules["tensorflow"].config.list_physical_devices()  # which logs too


@contextlib.contextmanager
def _nothing_collected() -> Iterator[None]:
    """Within it Python does not look for garbage: what an import makes stays."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def quiet_logging(name: str = "tensorflow", level: int = logging.WARNING) -> Iterator[None]:
    """Within it, a library logs only warnings and worse, as it does not in some notebooks."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(max(before, level))
    try:
        yield
    finally:
        logger.setLevel(before)


@contextlib.contextmanager
def held_back(show_failure: bool = True) -> Iterator[None]:
    """Holds back what is written to stderr, also by C++; shows it if the block fails."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):  # the disk may be full
            sys.stderr.flush()
    try:
        stderr = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        failed = False
        try:
            yield
        except Exception:
            failed = show_failure
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            if failed:
                kept.seek(0)
                with contextlib.suppress(OSError):
                    os.write(2, kept.read())


def check_backend() -> None:
    """Raises a UserError if Keras is loaded already, or asked for, with another backend."""
    asked, keras = os.environ.get("KERAS_BACKEND"), sys.modules.get("keras")
    backend = keras.config.backend() if hasattr(keras, "config") else asked or _BACKEND
    if backend != _BACKEND:
        raise UserError(
            f"Keras' backend is {backend} here, and cvae-tf needs {_BACKEND}; set "
            f"KERAS_BACKEND={_BACKEND} before Keras is imported."
        )


def prepare_keras() -> None:
    """Lets Keras be imported with our backend, whatever `keras.json` of another project says."""
    path = paths.keras_home() / "keras.json"
    try:
        settings = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError):  # Keras then takes its own, or says what is wrong
        return
    backend = settings.get("backend", _BACKEND)
    if backend != _BACKEND and not os.environ.get("KERAS_BACKEND"):
        terminal.warn(f"{path} names the backend {backend}; cvae-tf takes {_BACKEND}.")
        os.environ["KERAS_BACKEND"] = _BACKEND


@contextlib.contextmanager
def usual_settings() -> Iterator[None]:
    """Within it, layers are built with channels last and in float32.

    Those layers keep that. `keras.json` or the user may have set something else for other models;
    it is restored at the end.
    """
    from keras import config

    with _LOCK:
        before = config.floatx(), config.image_data_format(), config.dtype_policy()
        _set_keras("float32", "channels_last", "float32")
        try:
            yield
        finally:
            _set_keras(*before)


def _set_keras(floatx: str, data_format: str, policy: Any) -> None:
    from keras import config

    config.set_floatx(floatx)
    config.set_image_data_format(data_format)
    config.set_dtype_policy(policy)


def set_threads(threads: int) -> bool:
    """Sets the number of TensorFlow's threads, which is fixed once TensorFlow has been used.

    Each half of a batch gets half of them (`models.base`); 0 means one for each core.

    Returns:
        Whether TensorFlow has that many threads now.
    """
    import tensorflow as tf

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
