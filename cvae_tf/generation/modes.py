"""What `generate.py` makes, by mode; here are the modes that decode latents into images.

Latents from the prior, between two images, or of a class. Modes make pictures and their arrays.
"""

import contextlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.core import files
from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.core.settings import LARGEST_SEED, find
from cvae_tf.data.batches import batch_slices
from cvae_tf.data.given_images import Images, load_own
from cvae_tf.data.inspection import evenly_spaced_indices
from cvae_tf.data.labels import composed
from cvae_tf.drawing import mosaics
from cvae_tf.drawing.mosaics import Panel
from cvae_tf.exporting.load import as_known
from cvae_tf.generation.image_modes import (
    Generated,
    around,
    called,
    class_asked_for,
    classes_of,
    count,
    given_images,
    in_all_classes,
    labels_of,
    make_anomalies,
    make_denoised,
    make_latents,
    make_neighbours,
    make_reconstructions,
    make_transfer,
    no_such_label,
    num_shown,
    of_class,
    one_image,
    pick,
    posterior_of,
    show,
    spread_of,
    usual_latents,
)
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.models.base import GenerativeModel
from cvae_tf.presets import CANNOT_REFINE

_STRIP, _FRAMES = 10, 40  # images of an interpolation, of either kind
_MOST_NAMED = 3  # latents that are written in full at an end of an interpolation
_NEIGHBOURS = 10  # neighbours that show whether an example is typical of its label


def make_samples(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Draws images; with a conditional model those of a label, or of all classes in turn.

    Individual files may be too many, so their images are not returned.
    """
    labels = labels_of(class_asked_for(model, settings), settings.num)
    if not settings.individual:
        images = model.sample(num_shown(settings), settings.seed, labels)
        title = f"{count(len(images), 'sample')} from the {model.samples_from}"
        columns, names = None, ()
        if settings.label is not None:
            title += f", {of_class(settings.label)}"
        elif 0 < model.num_classes <= mosaics.MOST_COLUMNS:
            columns, names = model.num_classes, model.class_names
        panel = Panel(f"{title}, seed {settings.seed}", [images], columns, column_names=names)
        return show(output / "samples.png", panel, settings, images=images)
    paths = [output / f"sample_{number:06d}.png" for number in range(settings.num)]
    parts = model.sample_in_parts(settings.num, settings.seed, labels)
    for path, image in zip(paths, itertools.chain.from_iterable(parts), strict=True):
        mosaics.save_image(path, image)
    return Generated(paths, {})


def make_manifold(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Draws the manifold; of a conditional model that of a label, or a small one of each class."""
    if (size := model.latent_dim) != 2:
        raise UserError(f"--mode=manifold needs 2 latent dimensions; this model has {size}.")
    path, label = output / "manifold.png", class_asked_for(model, settings)
    names, title = model.class_names if label is None else (), mosaics.MANIFOLD_TITLE
    if label is not None:
        title += f", {of_class(settings.label)}"

    def decode(latents: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        return model.decode(latents, labels if label is None else labels_of(label, len(latents)))

    images = mosaics.draw_manifold(path, decode, title, names, settings.plain)
    return Generated([path], {"images": images})


def make_interpolation(
    model: GenerativeModel, settings: GenerationSettings, output: Path
) -> Generated:
    """Decodes latents between two ends, which are images, latents, or, without encoder, seeds.

    With a conditional model each image has the class of the nearer end, or the label asked for.
    """
    asked, images = class_asked_for(model, settings), None
    is_number = settings.start.isdecimal() or settings.end.isdecimal()
    if "encode" in model.abilities and is_number:
        images = given_images(model, settings)
    if images is None and (settings.refine or settings.names_images or settings.invert is not None):
        raise UserError(
            "--refine, --data_path and --invert do nothing: neither --start nor --end is an image."
        )
    start, end = (_end(model, images, name, settings) for name in ("start", "end"))
    labels = [label if asked is None else asked for _, label, _ in (start, end)]
    if model.num_classes and None in labels:
        raise no_such_label(None, model.class_names)

    def way(steps: int) -> np.ndarray:
        latents = np.linspace(start[0], end[0], steps, dtype=np.float32)
        halves = np.repeat(labels, [steps - steps // 2, steps // 2])
        return model.decode(latents, halves if model.num_classes else None)

    strip, animation = output / "interpolation.png", output / "interpolation.gif"
    frames, names = way(_FRAMES), [start[2], *[""] * (_STRIP - 2), end[2]]
    mosaics.save_animation(animation, frames)
    title = f"{_STRIP} equal steps in the latent space, from {start[2]} to {end[2]}"
    panel = Panel(title, [way(_STRIP)], _STRIP, column_names=names)
    made = show(strip, panel, settings, images=frames)
    return made._replace(files=[strip, animation])


def _end(
    model: GenerativeModel, images: Images | None, name: str, settings: GenerationSettings
) -> tuple[np.ndarray, int | None, str]:
    """Reads an end: the posterior mean of an image, the latents of a seed, or given latents.

    Returns:
        Latents [Z], the image's label if the model is conditional, and the name of the end.
    """
    text = getattr(settings, name)
    if text.isdecimal() and images is None:
        seed = min(int(text), LARGEST_SEED)
        key = derived_key(seed, Purpose.SAMPLES)
        return model.sample_latents(1, key).numpy()[0], None, f"seed {seed}"
    if text.isdecimal():
        image = one_image(images, int(text), name)
        labels = classes_of(model, image)
        label = None if labels is None else int(labels[0])
        return posterior_of(model, image, settings).mean[0], label, called(image)
    try:
        latents = np.array([float(part) for part in text.split(",")], np.float32)
    except ValueError:
        latents = np.array([np.nan])
    if latents.shape != (model.latent_dim,) or not np.isfinite(latents).all():
        number = "the number of an image" if "encode" in model.abilities else "a seed"
        raise UserError(
            f"--{name}={text}: must be {number}, or {model.latent_dim} latents with commas "
            "between, such as 0.5,-1.2."
        )
    return latents, None, text if len(latents) <= _MOST_NAMED else name


def make_class(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Draws images of a label.

    A conditional model draws them directly. With others they are decoded posterior samples of
    typical examples of the label.
    """
    images = (_drawn if model.num_classes else _like_examples)(model, settings)
    title = f"{count(len(images), 'image')} {of_class(settings.label)}"
    title += (
        f": samples from the {model.samples_from}"
        if model.num_classes
        else ": decoded posterior samples of its most typical images"
    )
    panel = Panel(f"{title}{spread_of(settings)}", [images])
    return show(output / "class.png", panel, settings, images=images)


def _drawn(model: GenerativeModel, settings: GenerationSettings) -> np.ndarray:
    """Samples of the prior, `spread` times as wide, decoded as images of the class."""
    for name in ("data_path", "images", "invert"):
        if getattr(settings, name):
            raise UserError(f"--{name}: a conditional model draws its classes without examples.")
    label = class_asked_for(model, settings)
    if label is None:
        raise no_such_label(None, model.class_names)
    latents = usual_latents(model, num_shown(settings), settings.seed, Purpose.CLASS_SAMPLES)
    return model.decode(settings.spread * latents, np.full(len(latents), label))


def _like_examples(model: GenerativeModel, settings: GenerationSettings) -> np.ndarray:
    given, num = given_images(model, settings), num_shown(settings)
    if given.labels is None:
        raise UserError(
            "--mode=class needs labelled images: a folder for each class, or an .npz with y_test."
        )
    wanted = labelled(given, settings.label)
    typical = typical_examples(model.encode(given.pixels).mean, wanted)
    examples = pick(given, np.resize(typical[:num], num))
    return around(model, examples, settings, Purpose.CLASS_SAMPLES)


def labelled(given: Images, label: str | None) -> np.ndarray:
    """Finds the images of a label, given its name or its number: bool [N]."""
    for labels in (given.shown_labels, given.labels):
        texts = [composed(text) for text in labels.astype(str).tolist()]
        if label is not None and composed(label) in texts:
            return np.array([text == composed(label) for text in texts])
    raise no_such_label(label, tuple(sorted(set(given.shown_labels.astype(str)))))


def typical_examples(means: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Orders the `wanted` images, [N], by how many neighbours, by means [N, Z], are wanted too."""
    candidates = np.flatnonzero(wanted)
    shares = []
    for candidate in candidates:
        distances = np.sum((means - means[candidate]) ** 2, axis=1)
        nearest = np.argsort(distances, kind="stable")[1 : _NEIGHBOURS + 1]
        shares.append(wanted[nearest].mean() if len(nearest) else 1.0)
    return candidates[np.argsort(-np.array(shares), kind="stable")]


def make_styles(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Draws a table of styles: each row is one latent, each column a class.

    As many rows as `num` images fill, but at least one.
    """
    num_classes = len(model.class_names)
    rows = max(num_shown(settings) // num_classes, 1)
    images = in_all_classes(model, usual_latents(model, rows, settings.seed, Purpose.STYLES))
    title = f"Each row is one style from the {model.samples_from}, drawn in every class"
    names = {"column_names": model.class_names}
    panel = Panel(title, [np.concatenate(images)], num_classes, **names)
    return show(output / "styles.png", panel, settings, images=images)


def make_nearest(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Draws samples over the nearest training images, by the squared distance of their pixels.

    The distances of as many test images, which were certainly not learned, are for comparison.
    """
    label, num = class_asked_for(model, settings), num_shown(settings)
    dataset = load_own(model.metadata, settings.data_path)
    samples = model.sample(num, settings.seed, labels_of(label, num))
    of_all = evenly_spaced_indices(len(dataset.test.images), num)
    rows, distances = nearest(samples, dataset.train.images, model.metadata)
    _, of_test = nearest(dataset.test.images[of_all], dataset.train.images, model.metadata)
    images = _known(dataset.train.images[rows], model.metadata)
    title = "Each sample over the training image that is nearest to it"
    panel = Panel(title, [samples, images], row_names=("sample", "nearest"))
    note = (
        f"Root mean squared difference of a pixel from the nearest of {len(dataset.train.images):,}"
        f" training images: samples {_of_pixel(distances, samples):.3f}, test images "
        f"{_of_pixel(of_test, samples):.3f} (medians). Much less for samples would mean that they "
        "are learned by heart; blurred images are always nearer than sharp ones."
    )
    arrays = {"images": samples, "nearest": images, "rows": rows, "squared_distances": distances}
    return show(output / "nearest.png", panel, settings, **arrays)._replace(notes=(note,))


def _of_pixel(squared_distances: np.ndarray, images: np.ndarray) -> float:
    return float(np.sqrt(np.median(squared_distances) / np.prod(images.shape[1:])))


def _known(images: np.ndarray, metadata: dict[str, Any]) -> np.ndarray:
    """Converts images, uint8 or in [0, 1], to [0, 1] as the model sees them."""
    images = as_known(images, metadata)
    return images.astype(np.float32) / 255 if images.dtype == np.uint8 else images


def nearest(
    images: np.ndarray, candidates: Any, metadata: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the nearest of many candidates, in memory or on disk, and the squared distance.

    All are [N, H, W, C], uint8 or in [0, 1], and compared as the model of the metadata sees them.
    """
    flat = _known(images, metadata).reshape(len(images), -1)
    best, rows = np.full(len(images), np.inf), np.zeros(len(images), np.int64)
    for own in batch_slices(len(candidates), candidates.shape[1:]):
        part = _known(candidates[own], metadata).reshape(-1, flat.shape[1])
        squares = tf.reduce_sum(part**2, axis=1) - 2 * tf.matmul(flat, part, transpose_b=True)
        numbers = tf.argmin(squares, axis=1).numpy()
        found = tf.gather(squares, numbers, batch_dims=1).numpy()
        is_nearer = found < best
        best[is_nearer], rows[is_nearer] = found[is_nearer], own.start + numbers[is_nearer]
    return rows, np.maximum(best + np.sum(flat**2, axis=1), 0)


class Mode(NamedTuple):
    """Something that can be made with a model."""

    make: Callable[[GenerativeModel, GenerationSettings, Path], Generated]
    settings: tuple[str, ...] = ()  # those that it uses
    needs: tuple[str, ...] = ("decode",)  # what the model must be able to do
    needs_classes: bool = False  # whether the model must be a conditional one


_IMAGES = ("data_path", "images", "invert")
_REFINED = ("refine", *_IMAGES)
_BOTH = ("encode", "decode")

MODES = {
    "samples": Mode(make_samples, ("num", "seed", "individual", "label", "plain")),
    "manifold": Mode(make_manifold, ("label", "plain")),
    "nearest": Mode(make_nearest, ("num", "seed", "label", "data_path", "plain")),
    "reconstruct": Mode(make_reconstructions, ("num", *_REFINED, "plain"), ("reconstruct",)),
    "interpolate": Mode(make_interpolation, ("start", "end", "label", *_REFINED, "plain")),
    "neighbours": Mode(
        make_neighbours, ("index", "num", "seed", "spread", *_REFINED, "plain"), _BOTH
    ),
    "class": Mode(make_class, ("label", "num", "seed", "spread", *_IMAGES, "plain")),
    "styles": Mode(make_styles, ("num", "seed", "plain"), needs_classes=True),
    "transfer": Mode(make_transfer, ("num", *_IMAGES, "plain"), _BOTH, needs_classes=True),
    "anomalies": Mode(
        make_anomalies, ("num", "score", "false_alarms", *_IMAGES, "plain"), ("encode", "score")
    ),
    "denoise": Mode(make_denoised, ("num", "seed", "noise", *_REFINED, "plain"), _BOTH),
    "latents": Mode(make_latents, ("seed", *_REFINED), ("encode", "score")),
}


def choose(
    mode: str, arrays: dict[str, np.ndarray] | None = None, **given: Any
) -> GenerationSettings:
    """Takes the given settings as fields; the mode must use all of them.

    `arrays` are images in memory, as `ImageSettings` has them.

    Raises:
        UserError: if the mode is unknown, or a setting has no effect or is out of range.
    """
    looked_at = find("mode", MODES, mode).settings
    for name in (*given, *(["images"] if arrays else [])):
        if name not in looked_at:
            users = ", ".join(other for other in MODES if name in MODES[other].settings)
            raise UserError(f"--{name} does nothing with --mode={mode}; it is for {users}.")
    return GenerationSettings(**given).with_arrays(arrays or {})


def generate(
    model: GenerativeModel, mode: str, settings: GenerationSettings, output: str | Path
) -> Generated:
    """Makes what a mode makes.

    Args:
        model: the trained model.
        mode: a name in `MODES`.
        settings: those of the mode are used.
        output: a directory; files of the same names in it are replaced.

    Raises:
        UserError: if the model or the images do not allow it, or a file cannot be written.
    """
    entry = find("mode", MODES, mode)
    if entry.needs_classes and not model.num_classes:
        raise UserError(f"--mode={mode} needs a conditional model; train one with --conditional.")
    if not set(entry.needs) <= set(model.abilities):
        raise UserError(
            f"--mode={mode} needs a model that can {' and '.join(entry.needs)}; this one can "
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
            directory.rmdir()  # if it is empty
        raise
