"""An exported model in use: NumPy in and out, in parts of bounded size, by TensorFlow alone."""

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from cvae_tf.core import files, paths
from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.models.measures import Measure
from cvae_tf.models.vae.posterior import Posterior
from cvae_tf.training import run_directory
from cvae_tf.training.run_files import MODEL_JSON, SAVED_MODEL

_AT_ONCE = 256  # images or latents in one call: enough for full speed, and little memory
_NEEDED = ("sample", "decode")  # what every model of this project can do


class LoadedModel:
    """A SavedModel of this project, for arrays of any length."""

    def __init__(self, functions: Any, metadata: dict[str, Any]):
        """Takes what `tf.saved_model.load` returns, and the contents of `model.json`."""
        self.functions = functions
        self.metadata = metadata
        self.abilities = tuple(functions.signatures)  # the names of its signatures
        self.latent_dim = _argument(functions, "decode", "latents").shape[1]
        shape = functions.signatures["decode"].structured_outputs["images"].shape
        self.image_shape = tuple(shape[1:])  # height, width, channels

    def sample(self, num: int, seed: int = 0) -> np.ndarray:
        """Draws images from the model.

        Args:
            num: number of images; they are all in memory at once, unlike in `sample_in_parts`.
            seed: the same seed gives the same images.

        Returns:
            float32 [num, H, W, C] in [0, 1]; of black-and-white pixels the probabilities of white.
        """
        parts = list(self.sample_in_parts(num, seed))
        return np.concatenate(parts) if parts else np.empty((0, *self.image_shape), np.float32)

    def sample_in_parts(self, num: int, seed: int = 0) -> Iterator[np.ndarray]:
        """Yields what `sample` returns, some images at a time."""
        key = derived_key(seed, Purpose.SAMPLES)
        latents = tf.random.stateless_normal([num, self.latent_dim], key).numpy()
        for start in range(0, num, _AT_ONCE):
            yield self.decode(latents[start : start + _AT_ONCE])

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """Draws the images [N, H, W, C] in [0, 1] of latents [N, Z]."""
        return self._in_parts(self.functions.decode, latents)["images"]

    def encode(self, images: np.ndarray) -> Posterior:
        """Finds the posteriors of images [N, H, W, C] in [0, 1]; uint8 and bool are taken too.

        A model without noise gives means alone, and None for their `logvar`.
        """
        found = self._in_parts(self.functions.encode, self._grey(images))
        return Posterior(found["mean"], found.get("logvar"))

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Decodes the posterior means of images [N, H, W, C] in [0, 1]."""
        return self._in_parts(self.functions.reconstruct, self._grey(images))["images"]

    def score(self, images: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
        """Scores images [N, H, W, C] in [0, 1].

        Args:
            images: any number of them.
            seed: the same seed gives the same scores.

        Returns:
            By name, a number for each image, [N]. A VAE gives "elbo", "log_likelihood" and "kl" by
            one posterior sample of each image, in nats; `main_score` is the one to sort by.
        """
        return self.mean_scores(images, seed, num_samples=1)

    def mean_scores(
        self, images: np.ndarray, seed: int = 0, num_samples: int = 8
    ) -> dict[str, np.ndarray]:
        """Averages `score` over several posterior samples of each image."""
        grey = self._grey(images)
        draws = [
            self._in_parts(self.functions.score, grey, derived_key(seed, Purpose.SCORES, i))
            for i in range(num_samples)
        ]
        return {name: np.mean([draw[name] for draw in draws], axis=0) for name in draws[0]}

    @property
    def main_score(self) -> Measure:
        """The score that images are sorted by, the usual ones high."""
        names = self.functions.signatures["score"].structured_outputs
        known = [Measure(**values) for values in self.metadata.get("measures", [])]
        # Version 0.1 did not say; its models are VAEs.
        titles = {"elbo": "ELBO", "pseudo_elbo": "pseudo-ELBO"}
        old = [Measure(name, title, "nats per image") for name, title in titles.items()]
        unnamed = (Measure(name, name.replace("_", " "), "") for name in names)
        return next(measure for measure in (*known, *old, *unnamed) if measure.name in names)

    def _grey(self, images: np.ndarray) -> np.ndarray:
        """Brings images to float32 [N, H, W, C] in [0, 1].

        Raises:
            UserError: if they are of another size than the model's.
        """
        images = np.asarray(images)
        if images.dtype.kind in "iu":
            images = images / np.float32(255)
        if images.ndim == 3 and self.image_shape[-1] == 1:
            images = images[..., np.newaxis]
        if images.shape[1:] != self.image_shape:
            raise UserError(
                f"Images of shape {images.shape} do not fit this model; it takes "
                f"[N, {', '.join(map(str, self.image_shape))}]."
            )
        return images.astype(np.float32)

    def _in_parts(
        self,
        function: Callable[..., dict[str, tf.Tensor]],
        batch: np.ndarray,
        key: tf.Tensor | None = None,
    ) -> dict[str, np.ndarray]:
        """Calls `function` on one part of `batch` after another and joins the results.

        With a key, each part gets noise of its own.
        """
        batch = np.asarray(batch, np.float32)
        parts = []
        for start in range(0, max(len(batch), 1), _AT_ONCE):
            noise = [] if key is None else [tf.random.fold_in(key, start)]
            parts.append(function(tf.constant(batch[start : start + _AT_ONCE]), *noise))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def load(directory: str | Path) -> LoadedModel:
    """Loads an exported model; nothing of the training code is needed for it.

    Args:
        directory: of a SavedModel, or a run directory.

    Returns:
        The model.

    Raises:
        UserError: if there is no SavedModel with the signatures of this project.
    """
    path = paths.expand(directory)
    if not (path / "saved_model.pb").is_file() and (path / SAVED_MODEL).is_dir():
        path = path / SAVED_MODEL
    if not (path / "saved_model.pb").is_file():
        raise UserError(
            f"--saved_model={directory}: holds no SavedModel; train.py writes one to "
            "export/1 in its run directory."
        )
    try:
        functions = tf.saved_model.load(str(path))
    except Exception as error:  # a damaged file fails in many ways
        raise UserError(f"{path}: cannot be loaded, it may be damaged ({error}).") from error
    missing = [name for name in _NEEDED if name not in getattr(functions, "signatures", {})]
    if missing:
        raise UserError(
            f"{path}: is a SavedModel without {', '.join(missing)}; not one of this project."
        )
    return LoadedModel(functions, _read_metadata(path / MODEL_JSON))


def run_of(model: LoadedModel | str | Path) -> Path | None:
    """The directory of a run, if that is what was given."""
    if isinstance(model, LoadedModel):
        return None
    path = paths.expand(model)
    return path if run_directory.is_run(path) else None


def as_loaded(model: LoadedModel | str | Path) -> LoadedModel:
    """Loads an exported model by its directory, or by that of its run, unless it is loaded.

    Raises:
        UserError: if there is none.
    """
    if isinstance(model, LoadedModel):
        return model
    run_dir = run_of(model)
    if run_dir and not (run_dir / SAVED_MODEL).is_dir():
        raise UserError(
            f"{model}: this run has no exported model yet; export --run_dir="
            f"{shlex.quote(str(model))} writes one from its newest checkpoint."
        )
    return load(paths.expand(model))


def _read_metadata(path: Path) -> dict[str, Any]:
    metadata = files.read_json(path) if path.exists() else {}
    if not isinstance(metadata, dict) or not isinstance(metadata.get("config", {}), dict):
        raise UserError(f"{path}: does not say what train.py writes there; export the run again.")
    return metadata


def _argument(functions: Any, signature: str, name: str) -> tf.TensorSpec:
    return functions.signatures[signature].structured_input_signature[1][name]
