"""Variational autoencoders in TensorFlow/Keras, from one command to a SavedModel.

In a notebook:

    import cvae_tf

    run = cvae_tf.train(x_train, epochs=3)            # a folder in runs/, and run.history
    model = cvae_tf.load(run)
    images = model.sample(16)                         # [16, H, W, C], in [0, 1]
    figure = model.plot_reconstructions(x_test)
    cvae_tf.generate(model, "manifold")               # writes pictures
    numbers = cvae_tf.evaluate(run, images=x_test)    # likelihoods, with arrays for each image
    run = cvae_tf.resume(run, x_train, epochs=5)      # goes on
    page = cvae_tf.report(run)                        # one HTML file

Each name is imported when it is first used; `help(cvae_tf.train)` says more.
"""

from typing import TYPE_CHECKING, Any

from cvae_tf.config import Config
from cvae_tf.core.errors import UserError

if TYPE_CHECKING:
    from cvae_tf.api import (
        CVAE,
        GAN,
        evaluate,
        export,
        generate,
        load,
        load_dataset,
        report,
        resume,
        train,
    )

__all__ = [
    "CVAE", "GAN", "Config", "UserError", "evaluate", "export", "generate", "load",
    "load_dataset", "report", "resume", "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that TensorFlow is loaded only if needed."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cvae_tf.core.tensorflow_setup import quiet_import

    with quiet_import():
        from cvae_tf import api
    return getattr(api, name)


def __dir__() -> list[str]:
    """Shows the public names to those who explore."""
    return sorted({*globals(), *__all__})
