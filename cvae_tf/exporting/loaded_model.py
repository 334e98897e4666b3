"""An exported model in use: NumPy in and out, in parts of bounded size, by TensorFlow alone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.config import term_names
from cvae_tf.core import files
from cvae_tf.core.errors import UserError

_AT_ONCE = 256  # images or latents in one call: enough for full speed, and little memory
_NEEDED = ("decode", "encode", "reconstruct", "score")


class Posterior(NamedTuple):
    """The Gaussian posterior q(z|x) of each image."""

    mean: np.ndarray  # [N, Z]
    logvar: np.ndarray  # [N, Z]


class Scores(NamedTuple):
    """Estimates by one posterior sample of each image, in nats; see `Config.term_names`."""

    elbo: np.ndarray  # [N]
    log_likelihood: np.ndarray  # [N]
    kl: np.ndarray  # [N]


class ExportedModel:
    """A SavedModel of this project, for arrays of any length."""

    def __init__(self, functions: Any, metadata: dict[str, Any]):
        """Takes what `tf.saved_model.load` returns, and the contents of `model.json`."""
        self.functions = functions
        self.metadata = metadata
        self.latent_dim = _argument(functions, "decode", "latents").shape[1]
        config = metadata.get("config", {})
        self.binarize = config.get("binarize", "threshold")
        self.likelihood = config.get("likelihood", "bernoulli")
        self.term_names = term_names(self.binarize, self.likelihood)
        self.image_shape = tuple(_argument(functions, "encode", "images").shape[1:])

    def sample(self, num: int, seed: int = 0) -> np.ndarray:
        """Draws images from the model.

        Args:
            num: number of images; they are all in memory at once, unlike in `sample_in_parts`.
            seed: the same seed gives the same images.

        Returns:
            Probabilities of white pixels, float32 [num, H, W, C].
        """
        parts = list(self.sample_in_parts(num, seed))
        return np.concatenate(parts) if parts else np.empty((0, *self.image_shape), np.float32)

    def sample_in_parts(self, num: int, seed: int = 0) -> Iterator[np.ndarray]:
        """Yields what `sample` returns, some images at a time."""
        latents = tf.random.stateless_normal([num, self.latent_dim], [seed, 0]).numpy()
        for start in range(0, num, _AT_ONCE):
            yield self.decode(latents[start : start + _AT_ONCE])

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """Returns probabilities of white pixels, [N, H, W, C], for latents [N, Z]."""
        return self._in_parts(self.functions.decode, latents)["images"]

    def encode(self, images: np.ndarray) -> Posterior:
        """Finds the posterior of grey images [N, H, W, C] in [0, 1]."""
        return Posterior(**self._in_parts(self.functions.encode, images))

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Decodes the posterior means of grey images [N, H, W, C] in [0, 1]."""
        return self._in_parts(self.functions.reconstruct, images)["images"]

    def score(self, images: np.ndarray, seed: int = 0) -> Scores:
        """Estimates the ELBO of grey images [N, H, W, C] in [0, 1], and its parts."""
        parts = self._in_parts(self.functions.score, images, seed)
        return Scores(*(parts[name] for name in self.term_names.values()))

    def _in_parts(
        self,
        function: Callable[..., dict[str, tf.Tensor]],
        batch: np.ndarray,
        seed: int | None = None,
    ) -> dict[str, np.ndarray]:
        """Calls `function` on one part of `batch` after another and joins the results.

        With a seed, each part gets noise of its own.
        """
        batch = np.asarray(batch, np.float32)
        parts = []
        for start in range(0, max(len(batch), 1), _AT_ONCE):
            noise = [] if seed is None else [tf.constant([seed, start])]
            parts.append(function(tf.constant(batch[start : start + _AT_ONCE]), *noise))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def load(directory: str | Path) -> ExportedModel:
    """Loads an exported model; nothing of the training code is needed for it.

    Args:
        directory: of a SavedModel, or a run directory.

    Returns:
        The model.

    Raises:
        UserError: if there is no SavedModel with the signatures of this project.
    """
    path = Path(directory)
    if not (path / "saved_model.pb").is_file() and (path / "export" / "1").is_dir():
        path = path / "export" / "1"
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
    return ExportedModel(functions, _read_metadata(path / "model.json"))


def _read_metadata(path: Path) -> dict[str, Any]:
    metadata = files.read_json(path) if path.exists() else {}
    if not isinstance(metadata, dict) or not isinstance(metadata.get("config", {}), dict):
        raise UserError(f"{path}: does not say what train.py writes there; export the run again.")
    return metadata


def _argument(functions: Any, signature: str, name: str) -> tf.TensorSpec:
    return functions.signatures[signature].structured_input_signature[1][name]
