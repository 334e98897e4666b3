"""Makes what a mode makes with a model in use: pictures, tables, and the arrays behind them."""

import contextlib
from pathlib import Path

from cvae_tf import registry
from cvae_tf.core import files
from cvae_tf.core.errors import UserError
from cvae_tf.exporting.loaded_model import LoadedModel
from cvae_tf.exporting.refined_model import RefinedModel, RegretModel
from cvae_tf.generation.common import Generated
from cvae_tf.generation.settings import GenerationSettings


def generate(
    model: LoadedModel, mode: str, settings: GenerationSettings, output: str | Path
) -> Generated:
    """Makes what is asked for.

    Args:
        model: the exported model.
        mode: a name in `registry.MODES`; it looks at the settings that are listed there.
        settings: how to make it.
        output: a directory; files of the same names in it are replaced.

    Returns:
        The files that were written, the one to look at first, and the arrays behind them.

    Raises:
        UserError: if the model or the images do not allow it, or a file cannot be written.
    """
    entry = registry.MODES[mode]
    if entry.needs_classes and not model.is_conditional:
        raise UserError(f"--mode={mode} needs a conditional model; train one with --conditional.")
    needs = (*entry.needs, *(() if model.is_conditional else entry.needs_without_classes))
    missing = [name for name in needs if name not in model.abilities]
    if missing:
        raise UserError(
            f"--mode={mode} needs a model that can {' and '.join(missing)}; this one can "
            f"{', '.join(sorted(model.abilities))}."
        )
    if settings.steps:
        kind = RegretModel if settings.score == "regret" else RefinedModel
        model = kind(model, settings.steps)
    directory = Path(output)
    files.make_directory(directory)
    try:
        return registry.MODES.load(mode)(model, settings, directory)
    except UserError:
        with contextlib.suppress(OSError):
            directory.rmdir()  # if nothing is in it
        raise
