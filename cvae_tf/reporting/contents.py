"""What stands on the page of a run: gathered from its exported model, its rows and its pictures."""

import base64
import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from cvae_tf.data.inspection import choose_shown, evenly_spaced_indices
from cvae_tf.inference.anomalies import most_telling, scores_of
from cvae_tf.models.base import GenerativeModel
from cvae_tf.reporting import network_code

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


class Evaluated(NamedTuple):
    """What evaluate.py has found of a run."""

    found: dict[str, Any]  # of `evaluation.json`
    picture: Path  # of the bounds; it need not be there


class Source(NamedTuple):
    """What a page is made of."""

    name: str  # of the run, for people
    model: GenerativeModel
    metrics: list[dict[str, float]]  # rows of `metrics.csv`
    pictures: list[Path]  # of the epochs
    stills: list[Path]  # of the latents and the manifold
    evaluation: Evaluated | None
    images: np.ndarray  # grey levels or colours of test images, [N, H, W, C]; none: [0, H, W, C]
    labels: np.ndarray | None  # theirs, [N]

    def labels_for_model(self, rows: np.ndarray) -> np.ndarray | None:
        """The labels of some images, if the model wants them."""
        is_wanted = self.model.num_classes and self.labels is not None
        return self.labels[rows] if is_wanted else None


class Contents(NamedTuple):
    """What the page shows beside its text: arrays, images, and plain values for its script."""

    data: dict[str, Any]
    rows: list[tuple[str, str]]  # of images: a title, and a sheet as data URI
    unusual: list[tuple[str, str]]  # the most unusual test images: data URI, and what is said
    epochs: list[tuple[int, str]]  # the picture of an epoch as data URI


def collect(source: Source) -> Contents:
    """Gathers everything that a page shows.

    Args:
        source: of the page.

    Returns:
        What was gathered; parts that the model or its data do not have are empty.
    """
    model = source.model
    chosen = evenly_spaced_indices(len(source.images), _fitting(_POINTS, model.image_shape))
    plane, means = _plane(source, chosen)
    samples = model.sample(_fitting(_SAMPLES, model.image_shape))
    config, code = model.metadata.get("config", {}), _code(source)
    is_grey, is_encoded = model.image_shape[-1] == 1, bool(code) and "encode" in code["networks"]
    data = {
        "shape": list(model.image_shape),
        "latents": model.latent_dim,
        "classes": list(model.class_names or ()) if model.num_classes else [],
        "threshold": config.get("binarize") == "threshold",
        "likelihood": config.get("likelihood") if "encode" in model.abilities else "image",
        "code": code,
        "plane": plane,
        "tests": _sheet(source.images[chosen], is_grey or is_encoded)
        if means is not None
        else None,
        "reconstructed": _reconstructed(source, chosen, code) if means is not None else None,
        **_labels(source, chosen if means is not None else chosen[:0]),
        "samples": _sheet(samples, is_grey),
        "seen": 0 if model.num_classes else min(2 * _SHOWN, len(samples)),  # in the rows above
    }
    return Contents(data, _rows(source, samples), _unusual(source), _epochs(source.pictures))


def _fitting(wanted: int, image_shape: tuple[int, ...]) -> int:
    """How many images of a shape a sheet holds."""
    return max(min(wanted, _LARGEST_SHEET // int(np.prod(image_shape))), 8)


def _sheet(images: np.ndarray, lossless: bool = True) -> dict[str, Any]:
    columns = min(_COLUMNS, max(len(images), 1))
    uri = sheet_uri(images, columns, lossless)
    return {"uri": uri, "columns": columns, "count": len(images)}


def _reconstructed(
    source: Source, chosen: np.ndarray, code: dict[str, Any] | None
) -> dict[str, Any] | None:
    """The reconstructions of test images, if the page cannot compute them."""
    if not code or "encode" in code["networks"]:
        return None
    own = source.labels_for_model(chosen)
    return _sheet(source.model.reconstruct(source.images[chosen], own), lossless=False)


def _labels(source: Source, chosen: np.ndarray) -> dict[str, Any]:
    """For each test image the place of its label among all labels, and what these are called."""
    if source.labels is None or not len(chosen):
        return {"testLabels": [], "labelNames": []}
    found, places = np.unique(np.asarray(source.labels)[chosen], return_inverse=True)
    names = source.model.metadata.get("data", {}).get("class_names", ())
    known = dict(enumerate(names))
    return {
        "testLabels": places.tolist(),
        "testClasses": np.asarray(source.labels)[chosen].tolist(),
        "labelNames": [str(known.get(label, label)) for label in found.tolist()],
    }


def _code(source: Source) -> dict[str, Any] | None:
    """The networks that the page can compute: what decodes, and if it fits what encodes."""
    networks = source.model.networks
    is_known = source.model.metadata.get("config", {}).get("likelihood") in _LIKELIHOODS
    order = {"decoder": "decode", "generator": "decode", "encoder": "encode"}
    chosen, weights, products = {}, 0, 0
    for name, does in order.items():
        if name in networks:
            weights += networks[name].count_params()
            products += network_code.count_products(networks[name])
            if weights <= _LARGEST_CODE and products <= _MOST_PRODUCTS and is_known:
                chosen[does] = networks[name]
    try:
        return network_code.code_of(chosen) if "decode" in chosen else None
    except network_code.UnknownLayerError:  # a network of the user's own
        return None


def _plane(source: Source, chosen: np.ndarray) -> tuple[dict[str, Any], np.ndarray | None]:
    """Two directions of the latents that are shown as a plane, further ones, and where images lie.

    More than two latents are seen along the principal components of the posterior means.
    """
    model, size = source.model, source.model.latent_dim
    means = None
    if "encode" in model.abilities and len(chosen):
        own = source.labels_for_model(chosen)
        means = np.nan_to_num(model.encode(source.images[chosen], own).mean.astype(np.float64))
    centre, axes, spread = np.zeros(size), np.eye(size), np.ones(size)
    if means is None and size > 2:  # 0 itself is far from all latents that are drawn
        centre[2 + _SLIDERS :] = np.random.default_rng(0).normal(size=max(size - 2 - _SLIDERS, 0))
    if means is not None and size > 2:
        centre = means.mean(axis=0)
        _, lengths, axes = np.linalg.svd(means - centre, full_matrices=True)
        spread = np.zeros(size)
        spread[: len(lengths)] = lengths / len(means) ** 0.5
    kept = min(size, 2 + _SLIDERS)
    places = np.zeros((0, kept)) if means is None else (means - centre) @ axes[:kept].T
    if size == 1:  # it lies along the first direction of the plane
        axes, spread = np.eye(2, 1), np.ones(2)
        places, kept = np.pad(places, ((0, 0), (0, 1))), 2
    reach = max(3.0 * spread[0], np.abs(places[:, :2]).max(initial=0) * 1.05)
    return {
        "centre": np.round(centre, 4).tolist(),
        "axes": np.round(axes[:kept], 5).tolist(),
        "spread": np.round(spread[:kept], 4).tolist(),
        "places": np.round(places[:, :2], 3).tolist(),
        "reach": float(reach),
        "isPrincipal": size > 2 and means is not None,
    }, means


def _rows(source: Source, samples: np.ndarray) -> list[tuple[str, str]]:
    """Rows of images that can be seen without a script."""
    model, rows = source.model, []
    if "reconstruct" in model.abilities and len(source.images):
        shown = choose_shown(source.labels, len(source.images), _SHOWN)
        images, own = source.images[shown], source.labels_for_model(shown)
        both = np.concatenate([images, model.reconstruct(images, own)])
        rows.append(("Test images over their reconstructions", sheet_uri(both, len(shown))))
    if model.num_classes:
        num = _fitting(_SHOWN, model.image_shape)
        for number, name in enumerate(model.class_names[:_CLASSES]):
            drawn = model.sample(num, labels=number)
            rows.append((f"Drawn: {name}", sheet_uri(drawn, num)))
    else:
        rows.append(("Samples", sheet_uri(samples[: 2 * _SHOWN], _SHOWN)))
    return rows


def _unusual(source: Source) -> list[tuple[str, str]]:
    """The test images with the lowest scores, and their p-values."""
    needed = {"encode", "score"}  # the score of a GAN says how real images look
    if not len(source.images) or not needed <= set(source.model.abilities):
        return []
    few, kind = evenly_spaced_indices(len(source.images), 2000), most_telling(source.model)
    own = source.labels_for_model(few)
    scores, measure, p_values = scores_of(source.model, source.images[few], kind, labels=own)
    lowest = np.argsort(scores)[:_UNUSUAL]
    said = [f"{measure.title} {scores[i]:.0f}" for i in lowest]
    if p_values is not None:
        said = [f"{text}, p {p:.2g}" for text, p in zip(said, p_values[lowest], strict=True)]
    return [(sheet_uri(source.images[few[[i]]], 1), text) for i, text in zip(lowest, said)]  # noqa: B905


def _epochs(pictures: list[Path]) -> list[tuple[int, str]]:
    shown = evenly_spaced_indices(len(pictures), _EPOCHS_SHOWN)
    if len(pictures):
        shown = np.unique([*shown, len(pictures) - 1])
    number = [int(path.stem.rpartition("_")[2]) for path in pictures]
    return [(number[i], smaller_uri(str(pictures[i]), _WIDTH_OF_PICTURE)) for i in shown]


def sheet_uri(images: np.ndarray, columns: int, lossless: bool = True) -> str:
    """Lays images [N, H, W, C] in [0, 1] out row by row; returns a data URI."""
    num, height, width, channels = images.shape
    rows = -(-num // columns)
    cells = np.zeros((rows * columns, height, width, channels), np.uint8)
    cells[:num] = np.rint(255 * np.clip(np.nan_to_num(images), 0, 1))
    laid = cells.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return _uri(
        laid.reshape(rows * height, columns * width, channels), None if lossless else _OF_IMAGES
    )


def smaller_uri(path: str, width: int) -> str:
    """Reads a picture and makes it at most so wide; returns a data URI."""
    with Image.open(path) as picture:
        picture = picture.convert("RGB")
        if picture.width > width:
            size = width, round(picture.height * width / picture.width)
            picture = picture.resize(size, Image.Resampling.LANCZOS)
        return _uri(np.asarray(picture), _OF_PICTURES)


def _uri(pixels: np.ndarray, quality: int | None) -> str:
    if pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    with io.BytesIO() as file:
        options = {"lossless": True, "method": 4} if quality is None else {"quality": quality}
        Image.fromarray(pixels).convert("RGB").save(file, "WEBP", **options)
        return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
