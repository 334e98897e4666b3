"""Variational autoencoders in TensorFlow/Keras, from one command to a SavedModel.

In a notebook:

    import cvae_tf

    run = cvae_tf.train(epochs=3)                     # a folder in runs/, and run.history
    model = cvae_tf.load(run.saved_model)
    images = model.sample(16)                         # [16, 28, 28, 1], in [0, 1]
    cvae_tf.generate(model, "manifold")               # writes pictures
    numbers = cvae_tf.evaluate(run.directory)         # likelihoods, with arrays for each image
    run = cvae_tf.resume(run.directory, epochs=5)     # goes on
    page = cvae_tf.report(run.directory)              # one HTML file

Each name is imported when it is first used; `help(cvae_tf.train)` says more.
"""

import importlib
from typing import Any

_HOMES = {
    "Config": ("config", "Config"),
    "CVAE": ("models.vae.model", "CVAE"),
    "GAN": ("models.gan.model", "GAN"),
    "UserError": ("core.errors", "UserError"),
    "load_dataset": ("data.datasets", "load_dataset"),
    "train": ("workflows", "train"),
    "resume": ("workflows", "resume"),
    "export": ("workflows", "export"),
    "load": ("exporting.load", "load"),
    "generate": ("workflows", "generate"),
    "evaluate": ("workflows", "evaluate"),
    "report": ("workflows", "report"),
}
__all__ = list(_HOMES)  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that TensorFlow is not loaded in vain."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cvae_tf.core.quiet import quiet_import

    module, attribute = _HOMES[name]
    with quiet_import():
        return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)


def __dir__() -> list[str]:
    """Shows the public names to those who explore."""
    return sorted([*globals(), *_HOMES])
