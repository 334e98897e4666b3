"""Latents as files: for NumPy, for spreadsheets, and for the embedding projector of TensorBoard."""

from pathlib import Path

import numpy as np

from cvae_tf.core import files
from cvae_tf.data.given_images import Images
from cvae_tf.drawing import mosaics
from cvae_tf.generation.common import Generated, classes_of, given_images, posterior_of
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.vae.posterior import FullPosterior, Posterior

_LARGEST_SPRITE = 8192  # pixels a side, what TensorBoard takes

_PROJECTOR_CONFIG = """embeddings {{
  tensor_name: "posterior means"
  tensor_path: "vectors.tsv"
  metadata_path: "metadata.tsv"
  sprite {{
    image_path: "sprite.png"
    single_image_dim: {width}
    single_image_dim: {height}
  }}
}}
"""


def make_latents(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Writes the posteriors and scores of all images."""
    images = given_images(model, settings)
    posterior = posterior_of(model, images, settings)
    name = model.main_score.name
    scores = {name: model.score(images.pixels, settings.seed, classes_of(model, images))[name]}
    written = write(output, images, posterior, scores)
    return Generated(written, {"mean": posterior.mean, "logvar": posterior.logvar, **scores})


def write(
    output: Path,
    images: Images,
    posterior: Posterior | FullPosterior,
    scores: dict[str, np.ndarray],
) -> list[Path]:
    """Writes `latents.npz`, `latents.csv` and the folder `projector`.

    Args:
        output: the directory for them.
        images: N images.
        posterior: theirs, [N, Z].
        scores: theirs by name, each [N], nats.

    Returns:
        The two files and the folder.

    Raises:
        UserError: if something cannot be written.
    """
    arrays = {"mean": posterior.mean, "logvar": posterior.logvar, **scores}
    if isinstance(posterior, FullPosterior):
        arrays["covariance"] = np.asarray(posterior.covariance)
    if images.labels is not None:
        arrays["label"] = images.shown_labels
    with files.replacing(output / "latents.npz") as temporary:
        np.savez(temporary, **arrays)
    columns = {**_columns(images, scores), **_by_dimension("mean", posterior.mean)}
    columns |= _by_dimension("logvar", posterior.logvar)
    files.write_table(output / "latents.csv", list(columns), zip(*columns.values(), strict=True))
    _write_projector(output / "projector", images, posterior.mean, scores)
    return [output / "latents.npz", output / "latents.csv", output / "projector"]


def _columns(images: Images, scores: dict[str, np.ndarray]) -> dict[str, list]:
    columns = {"name": images.names}
    if images.labels is not None:
        columns["label"] = images.shown_labels.tolist()
    return columns | {f"{name}_nats": values.tolist() for name, values in scores.items()}


def _by_dimension(name: str, values: np.ndarray) -> dict[str, list[float]]:
    return {f"{name}_{i + 1}": column.tolist() for i, column in enumerate(values.T)}


def _write_projector(
    directory: Path, images: Images, means: np.ndarray, scores: dict[str, np.ndarray]
) -> None:
    """Writes what TensorBoard reads from a log directory; of many images the first ones."""
    height, width = images.pixels.shape[1:3]
    side = min(int(np.ceil(len(means) ** 0.5)), _LARGEST_SPRITE // max(height, width))
    num = min(len(means), side * side)
    files.make_directory(directory)
    with files.replacing(directory / "vectors.tsv") as temporary:
        np.savetxt(temporary, means[:num], fmt="%.7g", delimiter="\t")
    columns = _columns(images, scores)
    rows = zip(*(column[:num] for column in columns.values()), strict=True)
    files.write_table(directory / "metadata.tsv", list(columns), rows, delimiter="\t")
    sprite = np.zeros((side * side, *images.pixels.shape[1:]), np.float32)
    sprite[:num] = images.pixels[:num]
    mosaics.save_image(directory / "sprite.png", mosaics.mosaic(sprite, side, gap=0))
    with files.replacing(directory / "projector_config.pbtxt") as temporary:
        temporary.write_text(_PROJECTOR_CONFIG.format(width=width, height=height), encoding="utf-8")
