"""What must be right before Keras is imported: its backend, and `keras.json`, of any project."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from cvae_tf.core import messages, paths
from cvae_tf.core.errors import UserError

_BACKEND = "tensorflow"
_KNOWN = {  # what Keras and TensorFlow take; anything else ends in a traceback of theirs
    "floatx": ("float16", "float32", "float64"),
    "image_data_format": ("channels_last", "channels_first"),
}


def check_backend() -> None:
    """Raises a UserError if Keras is there already, or is asked for, with another backend."""
    asked, keras = os.environ.get("KERAS_BACKEND"), sys.modules.get("keras")
    backend = keras.config.backend() if hasattr(keras, "config") else asked or _BACKEND
    if backend != _BACKEND:
        raise UserError(
            f"Keras' backend is {backend} here, and cvae-tf needs {_BACKEND}; set "
            f"KERAS_BACKEND={_BACKEND} before Keras is imported."
        )


def prepare() -> None:
    """Lets Keras be imported, whatever another project has written into its `keras.json`.

    Raises:
        UserError: if Keras could not read that file.
    """
    paths.prepare_home()
    path = paths.keras_home() / "keras.json"
    settings = _read(path)
    if settings.get("nnx_enabled"):  # which is for JAX alone
        os.environ.setdefault("KERAS_NNX_ENABLED", "false")
    backend = settings.get("backend", _BACKEND)
    if backend != _BACKEND and not os.environ.get("KERAS_BACKEND"):
        messages.warn(f"{path} names the backend {backend}; cvae-tf takes {_BACKEND}.")
        os.environ["KERAS_BACKEND"] = _BACKEND


def _read(path: Path) -> dict[str, Any]:
    """Reads `keras.json` as Keras does, which takes its own settings if it is no JSON."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    except (OSError, RecursionError) as error:
        raise _refused(path, str(error)) from error
    if not isinstance(values, dict):
        raise _refused(path, "it must hold settings by name")
    for name, known in _KNOWN.items():
        if values.get(name, known[0]) not in known:
            raise _refused(path, f"{name} is {values[name]!r}, not {' or '.join(known)}")
    if not isinstance(values.get("epsilon", 0.0), float):
        raise _refused(path, f"epsilon is {values['epsilon']!r}, not a number such as 1e-07")
    return values


def _refused(path: Path, reason: str) -> UserError:
    return UserError(f"{path}: Keras cannot read its settings ({reason}); mend or remove it.")
