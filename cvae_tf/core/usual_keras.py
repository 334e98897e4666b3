"""Keras with its usual settings, for what is built here, whatever its user has set."""

import contextlib
import threading
from collections.abc import Iterator

import keras

_lock = threading.RLock()  # the settings are the process's


@contextlib.contextmanager
def usual_settings() -> Iterator[None]:
    """Within it, layers are built for channels that come last, and everything is float32.

    What is built keeps that. `keras.json` of another project, or its user, may have set something
    else for other models, which is put back at the end.
    """
    config = keras.config
    with _lock:
        before = config.floatx(), config.image_data_format(), config.dtype_policy()
        _set("float32", "channels_last", "float32")
        try:
            yield
        finally:
            _set(*before)


def _set(floatx: str, data_format: str, policy: keras.DTypePolicy | str) -> None:
    keras.config.set_floatx(floatx)
    keras.config.set_image_data_format(data_format)
    keras.config.set_dtype_policy(policy)
