"""The pictures of a run: always the same test images and latents, so that epochs compare."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from cvae_tf.core.randomness import Stream, stream_seed
from cvae_tf.data import batches
from cvae_tf.data.datasets import Dataset
from cvae_tf.drawing import figures
from cvae_tf.models.vae.model import CVAE
from cvae_tf.training.run_directory import Run

_SAMPLES, _RECONSTRUCTIONS = 64, 32
_MANIFOLD_SIDE = 20
_ENCODED_AT_ONCE = 250


class Gallery:
    """Draws what a model has learned into its run directory."""

    def __init__(self, run: Run, model: CVAE, dataset: Dataset):
        """Chooses the images and latents that every picture shows.

        Args:
            run: where the pictures go.
            model: what they show; it may learn on between pictures.
            dataset: its first test images are shown beside their reconstructions.
        """
        self._run, self._model, self._dataset = run, model, dataset
        shown = np.arange(_RECONSTRUCTIONS) % len(dataset.test.images)
        self._originals = self._pixels(dataset.test.images[shown], 0)
        self._seed = stream_seed(model.seed, Stream.PICTURES)

    def draw_epoch(self, epoch: int, test_elbo: float) -> Path:
        """Draws samples and reconstructions after an epoch (0: before training).

        Args:
            epoch: its number.
            test_elbo: shown in the title, nats per image.

        Returns:
            The PNG.
        """
        path = self._run.images / f"image_at_epoch_{epoch:04d}.png"
        figures.draw_epoch(
            path,
            self._model.sample(_SAMPLES, self._seed).numpy(),
            self._originals.numpy(),
            self._model(self._originals).numpy(),
            f"Epoch {epoch}: test {self._run.config.term_titles['elbo']} {test_elbo:.1f} "
            f"nats per image ({self._dataset.name})",
        )
        return path

    def draw_summary(self, metrics: list[dict[str, float]]) -> None:
        """Draws the latent space and the curves at the end of a run.

        Args:
            metrics: the rows of `metrics.csv`.
        """
        directory, name = self._run.directory, self._dataset.name
        if self._model.latent_dim == 2:
            grid = figures.normal_quantile_grid(_MANIFOLD_SIDE)
            decoded = self._model.decode_mean(grid).numpy()
            title = f"Decoded latents at the quantiles of the prior ({name})"
            figures.draw_manifold(directory / "manifold.png", decoded, title)
        figures.draw_latents(
            directory / "latents.png",
            self._posterior_means(),
            self._dataset.test.labels,
            f"Posterior means of the test images ({name})",
        )
        figures.draw_curves(directory / "curves.png", metrics, name)

    def _posterior_means(self) -> np.ndarray:
        images = self._dataset.test.images
        means = []
        for start in range(0, len(images), _ENCODED_AT_ONCE):
            means.append(self._model.encode(self._pixels(images, start))[0])
        return np.concatenate(means)

    def _pixels(self, images: np.ndarray, start: int) -> tf.Tensor:
        method = self._run.config.binarize
        seed = self._model.seed
        return batches.evaluation_batch(images, start, _ENCODED_AT_ONCE, method, seed)
