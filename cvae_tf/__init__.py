"""A convolutional variational autoencoder in TensorFlow/Keras."""

import importlib
from typing import Any

_HOMES = {
    "Config": ("config", "Config"),
    "CVAE": ("models.vae.model", "CVAE"),
    "load_dataset": ("data.datasets", "load_dataset"),
    "train": ("workflows", "train"),
    "export": ("exporting.export_run", "export_from_checkpoint"),
    "load": ("exporting.loaded_model", "load"),
}
__all__ = list(_HOMES)  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that TensorFlow is not loaded in vain."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)


def __dir__() -> list[str]:
    """Shows the public names to those who explore."""
    return sorted([*globals(), *_HOMES])
