"""The model for other runtimes: LiteRT, ONNX and Keras."""

import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from cvae_tf.core import files
from cvae_tf.core.errors import UserError
from cvae_tf.models.networks.building import Networks
from cvae_tf.models.vae.likelihoods import LIKELIHOODS
from cvae_tf.models.vae.model import CVAE

_NEEDED_PACKAGES = {"onnx": ("tf2onnx", "onnx")}


def export_format(model: CVAE, name: str, directory: Path, metadata: dict[str, Any]) -> None:
    """Writes a model in another format, replacing one that is there.

    Args:
        model: the trained model, its layers in float32.
        name: a name in `WRITERS`.
        directory: where to write it.
        metadata: written beside it as `model.json`.

    Raises:
        UserError: if a package is missing or the directory cannot be written.
    """
    check_packages(name)
    with files.replacing_directory(directory) as temporary:
        WRITERS[name](model, temporary, metadata["config"]["binarize"])
        files.write_json(temporary / "model.json", metadata)


def check_packages(name: str) -> None:
    """Raises a UserError that names the packages which a format needs and which are missing."""
    needed = _NEEDED_PACKAGES.get(name, ())
    if any(importlib.util.find_spec(package) is None for package in needed):
        raise UserError(f"--format={name} needs other packages: pip install {' '.join(needed)}")


def standalone_parts(model: CVAE, method: str = "threshold") -> dict[str, keras.Model]:
    """Makes encoder and decoder usable on their own, as the signatures of the SavedModel are.

    Args:
        model: whose weights they share.
        method: how grey levels became pixels in training, see `batches.binarize`.

    Returns:
        encoder: grey levels `images` [B, H, W, C] -> `mean` and `logvar` [B, Z];
        decoder: `latents` [B, Z] -> `images` [B, H, W, C], their means.
    """
    ops = keras.ops
    images = keras.Input(model.image_shape, name="images")
    pixels = images if method == "none" else ops.cast(ops.greater(images, 0.5), "float32")
    mean, logvar = ops.split(model.encoder(pixels), 2, axis=1)
    latents = keras.Input((model.latent_dim,), name="latents")
    decoded = LIKELIHOODS[model.likelihood].mean(model.decoder(latents))
    return {
        "encoder": keras.Model(images, {"mean": mean, "logvar": logvar}, name="encoder"),
        "decoder": keras.Model(latents, {"images": decoded}, name="decoder"),
    }


def _write_litert(model: CVAE, directory: Path, method: str) -> None:
    """Writes two files of built-in operations alone, which every LiteRT runtime has."""
    built_in = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    for name, part in standalone_parts(model, method).items():
        path = str(directory / f"{name}.tflite")
        part.export(path, format="litert", verbose=False, target_spec=built_in)


def _write_onnx(model: CVAE, directory: Path, method: str) -> None:
    for name, part in standalone_parts(model, method).items():
        part(tf.zeros([1, *part.input_shape[1:]]))  # Keras exports only what was called before
        with warnings.catch_warnings():  # of NumPy, about the code of tf2onnx
            warnings.simplefilter("ignore", FutureWarning)
            part.export(str(directory / f"{name}.onnx"), format="onnx", verbose=False)


def _write_keras(model: CVAE, directory: Path, method: str) -> None:
    """Writes the model without its optimizer; `keras.saving.load_model` needs this package."""
    bare = CVAE(Networks(model.encoder, model.decoder), model.seed, model.likelihood)
    bare(tf.zeros([1, *model.image_shape]))
    bare.save(directory / "cvae.keras")


WRITERS: dict[str, Callable[[CVAE, Path, str], None]] = {
    "litert": _write_litert,
    "onnx": _write_onnx,
    "keras": _write_keras,
}
