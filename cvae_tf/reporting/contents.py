"""What a page shows of a model: images, places of latents, networks, as plain values."""

import base64
import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from cvae_tf.core import paths
from cvae_tf.core.errors import UserError
from cvae_tf.data.given_images import class_numbers, read_asked_for
from cvae_tf.data.inspection import choose_shown, evenly_spaced_indices
from cvae_tf.data.pictures import ImageSettings
from cvae_tf.drawing.mosaics import as_picture, mosaic
from cvae_tf.exporting.load import load, run_of
from cvae_tf.inference.anomalies import scores_of
from cvae_tf.models.base import GenerativeModel
from cvae_tf.reporting import network_code
from cvae_tf.training import run_directory
from cvae_tf.training.run_directory import Run

_MOST_IMAGES = 2000  # test images that are looked at
_POINTS, _SHOWN, _SAMPLES, _UNUSUAL = 1000, 24, 256, 12
_COLUMNS = 32  # of a sheet of images
_LARGEST_SHEET = 1_500_000  # values of all images of a sheet; larger images are fewer
_LARGEST_CODE = 1_300_000  # weights that the page computes itself
_MOST_PRODUCTS = 40_000_000  # for an image; a browser makes some 500 million a second
_LIKELIHOODS = ("bernoulli", "continuous_bernoulli", "gaussian", "discretized_logistic")
_CLASSES = 20  # of a conditional model that have a row
_SLIDERS = 6  # principal components beyond the plane
_EPOCHS_SHOWN, _WIDTH_OF_PICTURE = 13, 560
_OF_PICTURES, _OF_IMAGES = 45, 80  # qualities: of those with axes, and of small images

Labelled = tuple[np.ndarray, np.ndarray | None]  # images [N, H, W, C], and their labels, [N]


class Source(NamedTuple):
    """What a page is made of."""

    name: str  # of the run, for people
    model: GenerativeModel
    run: Run | None  # none of an exported model alone
    metrics: list[dict[str, float]]  # rows of `metrics.csv`
    images: np.ndarray  # grey levels or colours of test images, [N, H, W, C]; none: [0, H, W, C]
    labels: np.ndarray | None  # theirs, [N]

    def labels_for_model(self, rows: np.ndarray | slice) -> np.ndarray | None:
        """The labels of some images, if the model wants them."""
        is_wanted = self.model.num_classes and self.labels is not None
        return self.labels[rows] if is_wanted else None


def read_source(directory: str | Path, images: Labelled | None = None) -> Source:
    """Loads a model and what is known of it.

    Args:
        directory: of a run, or of an exported model.
        images: of the test set, uint8, if they are at hand.

    Returns:
        The source of a page.

    Raises:
        UserError: if there is no such model.
    """
    home, model = run_of(directory), load(directory)
    pixels, labels = _read_images(model) if images is None else images
    rows = evenly_spaced_indices(len(pixels), _MOST_IMAGES)
    pixels, labels = pixels[rows], None if labels is None else np.asarray(labels)[rows]
    if pixels.dtype == np.uint8:
        pixels = pixels.astype(np.float32) / 255
    if home is None:
        return Source(str(directory), model, None, [], pixels, labels)
    run = run_directory.load_run(home)
    metrics = run_directory.read_metrics(run)
    return Source(paths.shown(run.directory), model, run, metrics, pixels, labels)


def _read_images(model: GenerativeModel) -> Labelled:
    """The test images of a model's own data set; none if they cannot be had."""
    try:
        images = read_asked_for(ImageSettings(), model.image_shape, model.metadata)
        labels = class_numbers(images, model.class_names) if model.class_names else images.labels
    except UserError:
        labels = np.zeros(0, np.int32) if model.num_classes else None
        return np.zeros([0, *model.image_shape], np.float32), labels
    return images.pixels, labels


class Contents(NamedTuple):
    """What the page shows beside its text: arrays, images, and plain values for its script."""

    data: dict[str, Any]
    rows: list[tuple[str, str]]  # of images: a title, and a sheet as data URI
    unusual: list[tuple[str, str]]  # the most unusual test images: data URI, and what is said
    epochs: list[tuple[int, str]]  # the picture of an epoch as data URI


def collect(source: Source) -> Contents:
    """Gathers everything that a page shows; parts that the model or its data lack are empty."""
    model = source.model
    chosen = evenly_spaced_indices(len(source.images), _fitting(_POINTS, model.image_shape))
    if "encode" not in model.abilities:
        chosen = chosen[:0]
    samples = model.sample(_fitting(_SAMPLES, model.image_shape))
    config, code = model.metadata.get("config", {}), _code(model)
    is_grey, is_encoded = model.image_shape[-1] == 1, bool(code) and "encode" in code
    own, tests, reconstructed = source.labels_for_model(chosen), source.images[chosen], None
    if len(chosen) and code and not is_encoded:
        reconstructed = _sheet(model.reconstruct(tests, own), lossless=False)
    data = {
        "shape": model.image_shape,
        "latents": model.latent_dim,
        "classes": model.class_names if model.num_classes else (),
        "threshold": config.get("binarize") == "threshold",
        "likelihood": config.get("likelihood") if "encode" in model.abilities else "image",
        "code": code,
        "plane": _plane(model.latent_dim, model.encode(tests, own).mean if len(chosen) else None),
        "tests": _sheet(tests, is_grey or is_encoded) if len(chosen) else None,
        "reconstructed": reconstructed,
        **_labels(source, chosen),
        "samples": _sheet(samples, is_grey),
        "seen": 0 if model.num_classes else min(2 * _SHOWN, len(samples)),  # in the rows above
    }
    return Contents(data, _rows(source, samples), _unusual(source), _epochs(source.run))


def _fitting(wanted: int, image_shape: tuple[int, ...]) -> int:
    """How many images of a shape a sheet holds."""
    return max(min(wanted, _LARGEST_SHEET // int(np.prod(image_shape))), 8)


def _sheet(images: np.ndarray, lossless: bool) -> dict[str, Any]:
    columns = min(_COLUMNS, max(len(images), 1))
    return {
        "uri": sheet_uri(images, columns, lossless), "columns": columns, "count": len(images)
    }  # fmt: skip


def _labels(source: Source, chosen: np.ndarray) -> dict[str, Any]:
    """For each test image the place of its label among all labels, and what these are called."""
    if source.labels is None or not len(chosen):
        return {"testLabels": [], "labelNames": []}
    labels = np.asarray(source.labels)[chosen]
    found, places = np.unique(labels, return_inverse=True)
    known = dict(enumerate(source.model.metadata.get("data", {}).get("class_names", ())))
    return {
        "testLabels": places.tolist(),
        "testClasses": labels.tolist(),
        "labelNames": [str(known.get(label, label)) for label in found.tolist()],
    }


def _code(model: GenerativeModel) -> dict[str, Any] | None:
    """The networks that the page can compute: what decodes, and if it fits what encodes."""
    networks = model.networks
    does = {"decode": networks.get("decoder") or networks.get("generator")}
    if model.metadata.get("config", {}).get("likelihood") not in _LIKELIHOODS or not does["decode"]:
        return None
    both = {**does, "encode": networks["encoder"]} if "encoder" in networks else does
    for chosen in (both, does):
        weights = sum(network.count_params() for network in chosen.values())
        products = sum(network_code.count_products(network) for network in chosen.values())
        if weights <= _LARGEST_CODE and products <= _MOST_PRODUCTS:
            try:
                return network_code.code_of(chosen)
            except network_code.UnknownLayerError:  # a network of the user's own
                continue
    return None


def _plane(size: int, means: np.ndarray | None) -> dict[str, Any]:
    """Two directions of the latents that are shown as a plane, further ones, and where images lie.

    More than two latents are seen along the principal components of the posterior means, [N, Z].
    """
    num = max(size, 2)  # one latent lies along the first direction
    centre, axes, spread = np.zeros(size), np.eye(num, size), np.ones(num)
    places, kept = np.zeros((0, 2)), min(num, 2 + _SLIDERS)
    if means is None:  # 0 itself is far from all latents that are drawn
        centre[kept:] = np.random.default_rng(0).normal(size=max(size - kept, 0))
    else:
        means = np.nan_to_num(means.astype(np.float64))
        if size > 2:
            centre = means.mean(axis=0)
            _, lengths, axes = np.linalg.svd(means - centre, full_matrices=True)
            spread = np.pad(lengths / len(means) ** 0.5, (0, size - len(lengths)))
        places = (means - centre) @ axes[:2].T
    return {
        "centre": np.round(centre, 4).tolist(),
        "axes": np.round(axes[:kept], 5).tolist(),
        "spread": np.round(spread[:kept], 4).tolist(),
        "places": np.round(places, 3).tolist(),
        "reach": float(max(3.0 * spread[0], np.abs(places).max(initial=0) * 1.05)),
        "isPrincipal": size > 2 and means is not None,
    }


def _rows(source: Source, samples: np.ndarray) -> list[tuple[str, str]]:
    """Rows of images that can be seen without a script."""
    model, rows = source.model, []
    if "reconstruct" in model.abilities and len(source.images):
        shown = choose_shown(source.labels, len(source.images), _SHOWN)
        images, own = source.images[shown], source.labels_for_model(shown)
        both = np.concatenate([images, model.reconstruct(images, own)])
        rows.append(("Test images over their reconstructions", sheet_uri(both, len(shown))))
    if not model.num_classes:
        return [*rows, ("Samples", sheet_uri(samples[: 2 * _SHOWN], _SHOWN))]
    num = _fitting(_SHOWN, model.image_shape)
    for number, name in enumerate(model.class_names[:_CLASSES]):
        rows.append((f"Drawn: {name}", sheet_uri(model.sample(num, labels=number), num)))
    return rows


def _unusual(source: Source) -> list[tuple[str, str]]:
    """The test images with the lowest scores, and their p-values."""
    needed = {"encode", "score"}  # the score of a GAN says how real images look
    if not len(source.images) or not needed <= set(source.model.abilities):
        return []
    own = source.labels_for_model(slice(None))
    scores, measure, p_values = scores_of(source.model, source.images, own)
    lowest = np.argsort(scores)[:_UNUSUAL]
    said = [f"{measure.title} {scores[i]:.0f}" for i in lowest]
    if p_values is not None:
        said = [f"{text}, p {p:.2g}" for text, p in zip(said, p_values[lowest], strict=True)]
    uris = [sheet_uri(source.images[[i]], 1) for i in lowest]
    return list(zip(uris, said, strict=True))


def _epochs(run: Run | None) -> list[tuple[int, str]]:
    pictures = run.epoch_images if run else []
    shown = evenly_spaced_indices(len(pictures), _EPOCHS_SHOWN)
    chosen = [pictures[i] for i in {*shown.tolist(), len(pictures) - 1} if i >= 0]
    numbers = {int(path.stem.rpartition("_")[2]): path for path in chosen}
    return [(epoch, smaller_uri(numbers[epoch], _WIDTH_OF_PICTURE)) for epoch in sorted(numbers)]


def sheet_uri(images: np.ndarray, columns: int, lossless: bool = True) -> str:
    """Lays images [N, H, W, C] in [0, 1] out row by row; returns a data URI."""
    return _uri(as_picture(mosaic(images, columns, gap=0)), None if lossless else _OF_IMAGES)


def smaller_uri(path: Path, width: int) -> str:
    """Reads a picture and makes it at most so wide; returns a data URI."""
    with Image.open(path) as picture:
        picture = picture.convert("RGB")
        picture.thumbnail((width, 10 * width), Image.Resampling.LANCZOS)
        return _uri(picture, _OF_PICTURES)


def _uri(picture: Image.Image, quality: int | None) -> str:
    with io.BytesIO() as file:
        options = {"lossless": True, "method": 4} if quality is None else {"quality": quality}
        picture.convert("RGB").save(file, "WEBP", **options)
        return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
