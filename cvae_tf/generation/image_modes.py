"""Modes that begin with images: what a model makes of them, or which are like its samples."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from cvae_tf.core import files
from cvae_tf.core.randomness import Purpose, numpy_generator
from cvae_tf.data.batches import batch_slices
from cvae_tf.data.given_images import Images, load_own
from cvae_tf.data.inspection import evenly_spaced_indices
from cvae_tf.drawing import mosaics
from cvae_tf.exporting.load import as_known
from cvae_tf.generation.common import (
    Generated,
    around,
    class_asked_for,
    classes_of,
    given_images,
    in_all_classes,
    labels_of,
    num_shown,
    one_image,
    pick,
    posterior_of,
    spread_out,
)
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.vae.posterior import FullPosterior

_PROPOSAL_VALUES = 50_000_000  # pixels of the images that are tried to explain noisy ones
_LEAST_NOISE = 0.05  # share of flipped pixels that noisy images have at least
_GREY_NOTE = (
    "This model is one of grey levels. To explain noise, its images and the noisy ones were "
    "compared as black and white, because noise here means flipped pixels."
)


def make_reconstructions(
    model: GenerativeModel, settings: GenerationSettings, output: Path
) -> Generated:
    """Reconstructs images of all classes; with `refine`, in both ways."""
    originals = spread_out(given_images(model, settings), num_shown(settings))
    images = model.reconstruct(originals.pixels, classes_of(model, originals))
    arrays, path = {"originals": originals.pixels, "images": images}, output / "reconstructions.png"
    if settings.refine:
        arrays |= _in_both_ways(model, originals, images, settings, path)
    else:
        mosaics.save_stacked(path, [originals.pixels, images])
    return Generated([path], arrays)


def _in_both_ways(
    model: GenerativeModel,
    originals: Images,
    encoders: np.ndarray,
    settings: GenerationSettings,
    path: Path,
) -> dict[str, np.ndarray]:
    """Draws originals, the encoder's reconstructions and refined ones, with log-likelihoods."""
    labels = classes_of(model, originals)
    means = [
        model.encode(originals.pixels, labels).mean,
        posterior_of(model, originals, settings).mean,
    ]
    refined, measure = model.decode(means[1], labels), model.pixels.terms["log_likelihood"]
    pixels = model.pixels.binarize_mode(tf.constant(originals.pixels, tf.float32))
    values = [
        model.pixels.likelihood.log_prob(pixels, model.parameters(mean, labels)).numpy()
        for mean in means
    ]
    sets = [originals.pixels, encoders, refined]
    columns = mosaics.best_columns(*originals.pixels.shape[:3], sets=len(sets))
    texts = [[""] * len(refined), *([f"{value:.0f}" for value in own] for own in values)]
    filling = [""] * (-len(refined) % columns)
    rows = [np.reshape(own + filling, (-1, columns)) for own in texts]
    captions = np.stack(rows, axis=1).ravel().tolist()
    title = f"Images, the encoder's reconstructions, refined ones; {measure.title} in nats"
    mosaics.draw_captioned(path, mosaics.stacked(sets, columns), captions, title, columns)
    found = {"images": refined, "encoders_images": encoders}
    return {**found, f"encoders_{measure.name}": values[0], measure.name: values[1]}


def make_neighbours(
    model: GenerativeModel, settings: GenerationSettings, output: Path
) -> Generated:
    """Draws one image, then decoded samples around its posterior."""
    image = one_image(given_images(model, settings), settings.index, "index")
    repeated = pick(image, [0] * num_shown(settings))
    images = around(model, repeated, settings, Purpose.NEIGHBOURS)
    path = mosaics.save_mosaic(output / "neighbours.png", np.concatenate([image.pixels, images]))
    return Generated([path], {"original": image.pixels, "images": images})


def make_transfer(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Draws the style of images in every class; a gap stands behind the originals.

    As many rows as `num` images fill, at least one.
    """
    rows = max(num_shown(settings) // (len(model.class_names) + 1), 1)
    originals = spread_out(given_images(model, settings), rows)
    latents = model.encode(originals.pixels, classes_of(model, originals)).mean
    images = in_all_classes(model, latents)
    first = originals.pixels[:, np.newaxis]
    table = np.concatenate([first, np.ones_like(first), images], axis=1)
    path = output / "transfer.png"
    mosaics.save_mosaic(path, np.concatenate(table), table.shape[1])
    return Generated([path], {"originals": originals.pixels, "images": images})


def make_denoised(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Explains noisy images; with `noise`, clean ones whose pixels are flipped first."""
    given = spread_out(given_images(model, settings), num_shown(settings))
    clean = given.pixels
    chances = numpy_generator(settings.seed, Purpose.FLIPPED_PIXELS).random(clean.shape)
    noisy = np.where(chances < settings.noise, 1 - clean, clean)
    images = _explained(model, given._replace(pixels=noisy), settings)
    sets = [clean, noisy, images] if settings.noise else [noisy, images]
    path = mosaics.save_stacked(output / "denoised.png", sets)
    is_grey = model.metadata.get("config", {}).get("binarize") == "none"
    return Generated([path], {"noisy": noisy, "images": images}, (_GREY_NOTE,) if is_grey else ())


def _explained(model: GenerativeModel, given: Images, settings: GenerationSettings) -> np.ndarray:
    """Averages decoded images by the probability that a noisy image is theirs with pixels flipped.

    The encoder has never seen noise; latents from the prior are tried beside what it proposes.
    Whatever the likelihood, pixels are compared as black and white, because that is what a flip is.
    """
    num_pixels = int(np.prod(model.image_shape))
    num_proposals = int(np.clip(_PROPOSAL_VALUES // num_pixels, 256, 4096))
    random = numpy_generator(settings.seed, Purpose.DENOISING_PROPOSALS)
    prior = random.standard_normal((num_proposals, model.latent_dim))
    latents = np.concatenate([prior, posterior_of(model, given, settings).mean])
    noisy, labels = given.pixels, classes_of(model, given)
    if labels is not None:  # of what is drawn from the prior all classes
        labels = np.concatenate([model.labels_in_turn(num_proposals), labels])
    decoded = model.decode(latents, labels)
    flat = decoded.reshape(-1, num_pixels)
    rate = max(settings.noise, _LEAST_NOISE)
    white = rate + (1 - 2 * rate) * flat
    pixels = (noisy > 0.5).reshape(-1, num_pixels).astype(np.float32)
    log_likelihood = pixels @ np.log(white).T + (1 - pixels) @ np.log(1 - white).T
    weights = tf.nn.softmax(log_likelihood, axis=1).numpy()
    return (weights @ flat).reshape(noisy.shape)


def make_nearest(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Draws samples over the nearest training images, by the squared distance of their pixels.

    As many test images tell how near they are that were certainly not learned by heart.
    """
    label, num = class_asked_for(model, settings), num_shown(settings)
    dataset = load_own(model.metadata, settings.data_path)
    samples = model.sample(num, settings.seed, labels_of(label, num))
    of_all = evenly_spaced_indices(len(dataset.test.images), num)
    rows, distances = nearest(samples, dataset.train.images, model.metadata)
    _, of_test = nearest(dataset.test.images[of_all], dataset.train.images, model.metadata)
    images = _known(dataset.train.images[rows], model.metadata)
    path = mosaics.save_stacked(output / "nearest.png", [samples, images])
    note = (
        f"Root mean squared difference of a pixel from the nearest of {len(dataset.train.images):,}"
        f" training images: samples {_of_pixel(distances, samples):.3f}, test images "
        f"{_of_pixel(of_test, samples):.3f} (medians). Much less for samples would mean that they "
        "are learned by heart; blurred images are always nearer than sharp ones."
    )
    arrays = {"images": samples, "nearest": images, "rows": rows, "squared_distances": distances}
    return Generated([path], arrays, (note,))


def _of_pixel(squared_distances: np.ndarray, images: np.ndarray) -> float:
    return float(np.sqrt(np.median(squared_distances) / np.prod(images.shape[1:])))


def _known(images: np.ndarray, metadata: dict[str, Any]) -> np.ndarray:
    """Images, uint8 or in [0, 1], in [0, 1] as the model knows them."""
    images = as_known(images, metadata)
    return images.astype(np.float32) / 255 if images.dtype == np.uint8 else images


def nearest(
    images: np.ndarray, candidates: Any, metadata: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the nearest of many candidates, in memory or on the disk, and the squared distance.

    All are [N, H, W, C], uint8 or in [0, 1], and compared as the model of the metadata knows them.
    """
    flat = _flat(_known(images, metadata))
    best, rows = np.full(len(images), np.inf), np.zeros(len(images), np.int64)
    for own in batch_slices(len(candidates), candidates.shape[1:]):
        part = _flat(_known(candidates[own], metadata))
        squares = tf.reduce_sum(part**2, axis=1) - 2 * tf.matmul(flat, part, transpose_b=True)
        numbers = tf.argmin(squares, axis=1).numpy()
        found = tf.gather(squares, numbers, batch_dims=1).numpy()
        is_nearer = found < best
        best[is_nearer], rows[is_nearer] = found[is_nearer], own.start + numbers[is_nearer]
    return rows, np.maximum(best + np.sum(flat.numpy() ** 2, axis=1), 0)


def _flat(images: np.ndarray) -> tf.Tensor:
    return tf.constant(images.reshape(len(images), -1))


def make_latents(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Writes the posteriors and scores of all images as `latents.npz` and `latents.csv`."""
    images = given_images(model, settings)
    posterior = posterior_of(model, images, settings)
    name = model.main_score.name
    scores = model.score(images.pixels, settings.seed, classes_of(model, images))[name]
    arrays = {"mean": posterior.mean, "logvar": posterior.logvar, name: scores}
    columns = {"name": images.names}
    if images.labels is not None:
        columns["label"] = images.shown_labels
    columns[f"{name}_nats"] = scores.tolist()
    for part in ("mean", "logvar"):
        columns |= {f"{part}_{i}": values.tolist() for i, values in enumerate(arrays[part].T, 1)}
    archive, table = output / "latents.npz", output / "latents.csv"
    more = {"label": columns["label"]} if "label" in columns else {}
    if isinstance(posterior, FullPosterior):
        more["covariance"] = np.asarray(posterior.covariance)
    with files.replacing(archive) as temporary:
        np.savez(temporary, **arrays, **more)
    files.write_table(table, list(columns), zip(*columns.values(), strict=True))
    return Generated([archive, table], arrays)
