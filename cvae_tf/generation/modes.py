"""What an exported model can make, by mode: pictures, and latents to work with."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from cvae_tf.config import term_titles
from cvae_tf.core import files
from cvae_tf.core.errors import UserError
from cvae_tf.data.given_images import Images, read_asked_for
from cvae_tf.drawing import figures, mosaics
from cvae_tf.exporting.loaded_model import ExportedModel
from cvae_tf.generation import latent_files
from cvae_tf.generation.settings import Request

_COLUMNS = 8
_LARGEST_MOSAIC = 10_000  # images
_MANIFOLD_SIDE = 20
_ENDS = ("start", "end")
_STRIP, _FRAMES = 10, 40  # images of an interpolation
_NEIGHBOURS = 10  # examples that show whether another one is typical of its label
_SCORES = 8  # posterior samples for the score of an image
_PROPOSAL_VALUES = 50_000_000  # pixels of the images that are tried to explain noisy ones
_LEAST_NOISE = 0.05  # share of flipped pixels that noisy images have at least


def generate(model: ExportedModel, mode: str, request: Request, output: str) -> list[Path]:
    """Makes what is asked for.

    Args:
        model: the exported model.
        mode: a name in `MODES`; it looks at the settings that `request.py` lists for it.
        request: the settings.
        output: a directory; files of the same names in it are replaced.

    Returns:
        The files that were written, the one to look at first.

    Raises:
        UserError: if the model or the images do not allow it, or a file cannot be written.
    """
    directory = Path(output)
    files.make_directory(directory)
    try:
        return MODES[mode](model, request, directory)
    except UserError:
        with contextlib.suppress(OSError):
            directory.rmdir()  # if nothing is in it
        raise


def samples(model: ExportedModel, request: Request, output: Path) -> list[Path]:
    """Images from the prior, as a mosaic or as files."""
    if request.individual:
        return list(_save_each(model.sample_in_parts(request.num, request.seed), output))
    images = model.sample(_num_shown(request), request.seed)
    return [mosaics.save_mosaic(output / "samples.png", images, _square(len(images)))]


def _save_each(parts: Iterator[np.ndarray], output: Path) -> Iterator[Path]:
    number = 0
    for part in parts:
        for image in part:
            path = output / f"sample_{number:06d}.png"
            mosaics.save_image(path, image)
            yield path
            number += 1


def manifold(model: ExportedModel, request: Request, output: Path) -> list[Path]:
    """The whole of a two-dimensional latent space, decoded."""
    if model.latent_dim != 2:
        raise UserError(
            f"--mode=manifold needs 2 latent dimensions; this model has {model.latent_dim}."
        )
    images = model.decode(figures.normal_quantile_grid(_MANIFOLD_SIDE))
    path = output / "manifold.png"
    figures.draw_manifold(path, images, "Decoded latents at the quantiles of the prior")
    return [path]


def reconstruct(model: ExportedModel, request: Request, output: Path) -> list[Path]:
    """Images over their reconstructions."""
    originals = _images(model, request).pixels[: _num_shown(request)]
    pairs = [originals, model.reconstruct(originals)]
    return [_save_stacked(output / "reconstructions.png", pairs)]


def interpolate(model: ExportedModel, request: Request, output: Path) -> list[Path]:
    """A straight way through the latent space, as a strip and as an animation."""
    images = None
    if request.start.isdecimal() or request.end.isdecimal():
        images = _images(model, request)
    start, end = (_latents(model, images, name, getattr(request, name)) for name in _ENDS)

    def way(steps: int) -> np.ndarray:
        return model.decode(np.linspace(start, end, steps, dtype=np.float32))

    animation = output / "interpolation.gif"
    mosaics.save_animation(animation, way(_FRAMES))
    return [mosaics.save_mosaic(output / "interpolation.png", way(_STRIP), _STRIP), animation]


def _latents(model: ExportedModel, images: Images | None, name: str, text: str) -> np.ndarray:
    """Reads --start or --end: the posterior mean of an image, or latents as they are."""
    if text.isdecimal():
        return model.encode(_one_image(images, int(text), name)).mean[0]
    try:
        latents = np.array([float(part) for part in text.split(",")], np.float32)
    except ValueError:
        latents = np.array([np.nan])
    if latents.shape != (model.latent_dim,) or not np.isfinite(latents).all():
        raise UserError(
            f"--{name}={text}: must be the number of an image, or {model.latent_dim} latents "
            "with commas between, such as 0.5,-1.2."
        )
    return latents


def neighbours(model: ExportedModel, request: Request, output: Path) -> list[Path]:
    """More like one image: that image, then decoded samples around its posterior."""
    image = _one_image(_images(model, request), request.index, "index")
    around = _posterior_samples(model, np.repeat(image, _num_shown(request), axis=0), request)
    both = np.concatenate([image, model.decode(around)])
    return [mosaics.save_mosaic(output / "neighbours.png", both, _square(len(both)))]


def _posterior_samples(model: ExportedModel, images: np.ndarray, request: Request) -> np.ndarray:
    posterior = model.encode(images)
    noise = np.random.default_rng(request.seed).standard_normal(posterior.mean.shape)
    return posterior.mean + request.spread * np.exp(0.5 * posterior.logvar) * noise


def digit(model: ExportedModel, request: Request, output: Path) -> list[Path]:
    """Images of a label: decoded posterior samples of examples that are typical of it."""
    images = _images(model, request)
    if images.labels is None:
        raise UserError("--mode=digit needs labelled images, such as an .npz with y_test.")
    labels = images.labels.astype(str)
    known = sorted(set(labels))
    if request.label not in known:
        fault = "is needed" if request.label is None else f"{request.label} is unknown"
        raise UserError(f"--label: {fault}; choose from {', '.join(known[:20])}.")
    typical = _typical_examples(model.encode(images.pixels).mean, labels == request.label)
    num = _num_shown(request)
    chosen = np.resize(typical[:num], num)
    decoded = model.decode(_posterior_samples(model, images.pixels[chosen], request))
    return [mosaics.save_mosaic(output / "digit.png", decoded, _square(num))]


def _typical_examples(means: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Orders the wanted images by how many of their nearest neighbours are wanted too.

    Args:
        means: posterior means, [N, Z].
        wanted: bool [N].

    Returns:
        The indices of the wanted images, the most typical first.
    """
    candidates = np.flatnonzero(wanted)
    shares = []
    for candidate in candidates:
        distances = np.sum((means - means[candidate]) ** 2, axis=1)
        nearest = np.argsort(distances, kind="stable")[1 : _NEIGHBOURS + 1]
        shares.append(wanted[nearest].mean() if len(nearest) else 1.0)
    return candidates[np.argsort(-np.array(shares), kind="stable")]


def anomalies(model: ExportedModel, request: Request, output: Path) -> list[Path]:
    """All images sorted by their ELBO, the lowest first, and a picture of the first ones."""
    images = _images(model, request)
    seeds = range(request.seed, request.seed + _SCORES)
    elbos = np.mean([model.score(images.pixels, seed).elbo for seed in seeds], axis=0)
    order = np.argsort(elbos, kind="stable")
    table = output / "anomalies.csv"
    rows = ([images.names[i], f"{elbos[i]:.3f}"] for i in order)
    files.write_table(table, ["name", f"{model.term_names['elbo']}_nats"], rows)
    worst = order[: _num_shown(request)]
    path = output / "anomalies.png"
    captions = [f"{elbos[i]:.0f}" for i in worst]
    score = term_titles(model.binarize, model.likelihood)["elbo"]
    title = f"The {len(worst)} of {len(order)} images with the lowest {score} (nats)"
    columns = min(_COLUMNS, len(worst))
    figures.draw_captioned(path, images.pixels[worst], captions, columns, title)
    return [path, table]


def denoise(model: ExportedModel, request: Request, output: Path) -> list[Path]:
    """Noisy images over what the model makes of them."""
    clean = _images(model, request).pixels[: _num_shown(request)]
    flipped = np.random.default_rng(request.seed).random(clean.shape) < request.noise
    noisy = np.where(flipped, 1 - clean, clean)
    sets = [noisy, _explained(model, noisy, request)]
    if request.noise:
        sets.insert(0, clean)
    return [_save_stacked(output / "denoised.png", sets)]


def _explained(model: ExportedModel, noisy: np.ndarray, request: Request) -> np.ndarray:
    """Averages decoded images by the probability that a noisy image is theirs with pixels flipped.

    The encoder has never seen noise; latents from the prior are tried beside what it proposes.
    """
    num_pixels = int(np.prod(model.image_shape))
    num_proposals = int(np.clip(_PROPOSAL_VALUES // num_pixels, 256, 4096))
    prior = np.random.default_rng(request.seed).standard_normal((num_proposals, model.latent_dim))
    decoded = model.decode(np.concatenate([prior, model.encode(noisy).mean]))
    flat = decoded.reshape(-1, num_pixels)
    rate = max(request.noise, _LEAST_NOISE)
    white = rate + (1 - 2 * rate) * flat
    pixels = (noisy > 0.5).reshape(-1, num_pixels).astype(np.float32)
    log_likelihood = pixels @ np.log(white).T + (1 - pixels) @ np.log(1 - white).T
    weights = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    return (weights / weights.sum(axis=1, keepdims=True) @ flat).reshape(noisy.shape)


def latents(model: ExportedModel, request: Request, output: Path) -> list[Path]:
    """Posteriors and scores of all images, for programs, spreadsheets and TensorBoard."""
    images = _images(model, request)
    posterior = model.encode(images.pixels)
    elbo = model.score(images.pixels, request.seed).elbo
    return latent_files.write(output, images, posterior, {model.term_names["elbo"]: elbo})


MODES: dict[str, Callable[[ExportedModel, Request, Path], list[Path]]] = {
    "samples": samples,
    "manifold": manifold,
    "reconstruct": reconstruct,
    "interpolate": interpolate,
    "neighbours": neighbours,
    "digit": digit,
    "anomalies": anomalies,
    "denoise": denoise,
    "latents": latents,
}


def _images(model: ExportedModel, request: Request) -> Images:
    return read_asked_for(request, model.image_shape, model.metadata)


def _one_image(images: Images, index: int, name: str) -> np.ndarray:
    """Picks one image, [1, H, W, C]."""
    num = len(images.pixels)
    if index >= num:
        raise UserError(f"--{name}={index}: there are {num} images, counted from 0.")
    return images.pixels[index : index + 1]


def _num_shown(request: Request) -> int:
    if request.num > _LARGEST_MOSAIC:
        raise UserError(
            f"--num={request.num}: a picture shows {_LARGEST_MOSAIC} images at most; "
            "--mode=samples --individual writes any number of files."
        )
    return request.num


def _square(num: int) -> int:
    """Columns of a mosaic that is about as wide as high."""
    return max(1, round(num**0.5))


def _save_stacked(path: Path, sets: list[np.ndarray]) -> Path:
    """Saves a mosaic in which the rows of each set stand over those of the next."""
    columns = min(_COLUMNS, len(sets[0]))
    return mosaics.save_mosaic(path, mosaics.stacked(sets, columns), columns)
