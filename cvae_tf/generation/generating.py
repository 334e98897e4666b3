"""Makes what a mode makes with a model in use: pictures, tables, and the arrays behind them."""

import contextlib
from pathlib import Path

from cvae_tf import registry
from cvae_tf.core import files
from cvae_tf.core.errors import UserError
from cvae_tf.generation.common import Generated
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.vae import amounts


def generate(
    model: GenerativeModel, mode: str, settings: GenerationSettings, output: str | Path
) -> Generated:
    """Makes what is asked for.

    Args:
        model: the trained model.
        mode: a name in `registry.MODES`; it looks at the settings that are listed there.
        settings: how to make it.
        output: a directory; files of the same names in it are replaced.

    Returns:
        The files that were written, the one to look at first, and the arrays behind them.

    Raises:
        UserError: if the model or the images do not allow it, or a file cannot be written.
    """
    entry = registry.MODES[mode]
    if entry.needs_classes and not model.num_classes:
        raise UserError(f"--mode={mode} needs a conditional model; train one with --conditional.")
    needs = (*entry.needs, *(() if model.num_classes else entry.needs_without_classes))
    missing = [name for name in needs if name not in model.abilities]
    if missing:
        raise UserError(
            f"--mode={mode} needs a model that can {' and '.join(missing)}; this one can "
            f"{', '.join(sorted(model.abilities))}."
        )
    if settings.steps and "refine" not in model.abilities:
        raise UserError(amounts.CANNOT_REFINE)
    directory = Path(output)
    files.make_directory(directory)
    try:
        return registry.MODES.load(mode)(model, settings, directory)
    except UserError:
        with contextlib.suppress(OSError):
            directory.rmdir()  # if nothing is in it
        raise
