"""Makes what a mode makes with a model in use: pictures, tables, and the arrays behind them."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from cvae_tf.core import files
from cvae_tf.core.errors import UserError
from cvae_tf.core.settings import find
from cvae_tf.generation import anomalies, image_modes, latent_files, modes
from cvae_tf.generation.common import Generated
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.models.base import GenerativeModel
from cvae_tf.presets import CANNOT_REFINE


class Mode(NamedTuple):
    """Something that can be made with a model."""

    make: Callable[[GenerativeModel, GenerationSettings, Path], Generated]
    settings: tuple[str, ...] = ()  # those that it looks at
    needs: tuple[str, ...] = ("decode",)  # signatures that the model must have
    needs_without_classes: tuple[str, ...] = ()  # what else, of a model that is no conditional one
    needs_classes: bool = False  # whether the model must be a conditional one


_IMAGES = ("data_path", "invert")

MODES = {
    "samples": Mode(modes.make_samples, ("num", "seed", "individual", "label")),
    "manifold": Mode(modes.make_manifold, ("label",)),
    "plane": Mode(modes.make_plane, ("seed", "label")),
    "nearest": Mode(image_modes.make_nearest, ("num", "seed", "label", "data_path")),
    "reconstruct": Mode(
        image_modes.make_reconstructions, ("num", "refine", *_IMAGES), needs=("reconstruct",)
    ),
    "interpolate": Mode(modes.make_interpolation, ("start", "end", "label", "refine", *_IMAGES)),
    "neighbours": Mode(
        image_modes.make_neighbours,
        ("index", "num", "seed", "spread", "refine", *_IMAGES),
        needs=("encode", "decode"),
    ),
    "class": Mode(
        modes.make_class,
        ("label", "num", "seed", "spread", *_IMAGES),
        needs_without_classes=("encode",),
    ),
    "styles": Mode(modes.make_styles, ("num", "seed"), needs_classes=True),
    "transfer": Mode(
        image_modes.make_transfer, ("num", *_IMAGES), needs=("encode", "decode"), needs_classes=True
    ),
    "anomalies": Mode(
        anomalies.make_anomalies,
        ("num", "score", "false_alarms", *_IMAGES),
        needs=("encode", "score"),
    ),
    "denoise": Mode(
        image_modes.make_denoised,
        ("num", "seed", "noise", "refine", *_IMAGES),
        needs=("encode", "decode"),
    ),
    "latents": Mode(
        latent_files.make_latents, ("seed", "refine", *_IMAGES), needs=("encode", "score")
    ),
}


def choose(mode: str, **given: Any) -> GenerationSettings:
    """Takes the settings that were given, which must be such that the mode looks at.

    Args:
        mode: a name in `MODES`.
        **given: values of fields.

    Raises:
        UserError: if the mode is unknown, or a setting would do nothing or is out of its range.
    """
    looked_at = find("mode", MODES, mode).settings
    for name in given:
        if name not in looked_at:
            users = ", ".join(other for other in MODES if name in MODES[other].settings)
            raise UserError(f"--{name} does nothing with --mode={mode}; it is for {users}.")
    return GenerationSettings(**given)


def generate(
    model: GenerativeModel, mode: str, settings: GenerationSettings, output: str | Path
) -> Generated:
    """Makes what is asked for.

    Args:
        model: the trained model.
        mode: a name in `MODES`; it looks at the settings that are listed there.
        settings: how to make it.
        output: a directory; files of the same names in it are replaced.

    Returns:
        The files that were written, the one to look at first, and the arrays behind them.

    Raises:
        UserError: if the model or the images do not allow it, or a file cannot be written.
    """
    entry = find("mode", MODES, mode)
    if entry.needs_classes and not model.num_classes:
        raise UserError(f"--mode={mode} needs a conditional model; train one with --conditional.")
    needs = (*entry.needs, *(() if model.num_classes else entry.needs_without_classes))
    missing = [name for name in needs if name not in model.abilities]
    if missing:
        raise UserError(
            f"--mode={mode} needs a model that can {' and '.join(missing)}; this one can "
            f"{', '.join(sorted(model.abilities))}."
        )
    if settings.refine and "refine" not in model.abilities:
        raise UserError(CANNOT_REFINE)
    directory = Path(output)
    files.make_directory(directory)
    try:
        return entry.make(model, settings, directory)
    except UserError:
        with contextlib.suppress(OSError):
            directory.rmdir()  # if nothing is in it
        raise
