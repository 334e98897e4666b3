"""Images given to a model in use: from an .npz or .npy, a picture, or a folder of pictures."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.core.errors import UserError
from cvae_tf.core.paths import absolute, refuse_missing
from cvae_tf.data.array_files import read_arrays
from cvae_tf.data.arrays import to_labels, to_uint8
from cvae_tf.data.classes import CLASS_NAMES, name_classes
from cvae_tf.data.datasets import Dataset, load_again, margin_brightness
from cvae_tf.data.folder_classes import TEST, read_classes
from cvae_tf.data.folder_listing import SUFFIXES, list_pictures, printable
from cvae_tf.data.pictures import BadPictureError, Form, read_picture, without_warnings
from cvae_tf.data.settings import ImageSettings
from cvae_tf.reading import ReadingSettings

_ARRAYS = (("x_test", "y_test"), ("x_train", "y_train"), ("images", "labels"))
_ALL_ARRAYS = (*(name for pair in _ARRAYS for name in pair), CLASS_NAMES)
_KINDS = {False: "white on black", True: "dark on white"}
_UNCLEAR = 0.25  # margins of this brightness, to 1 minus it, tell neither from the other


class Images(NamedTuple):
    """Images with what is known of them."""

    pixels: np.ndarray  # grey levels in [0, 1], float32 [N, H, W, C]
    labels: np.ndarray | None  # [N]
    names: list[str]  # N of them: file names, or numbers
    origin: str = ""  # which images they are, and what was done to them
    class_names: tuple[str, ...] | None = None  # of the labels 0, 1, ..., if they have any

    @property
    def shown_labels(self) -> np.ndarray | None:
        """The labels as people call them: names if there are any, else as they are, [N]."""
        if self.labels is None or self.class_names is None:
            return self.labels
        return np.array(self.class_names)[self.labels]


class Fit(NamedTuple):
    """How images are made to fit a model."""

    image_shape: tuple[int, int, int]  # height, width and channels that the model takes
    resize: bool = False  # whether to bring other sizes to it, with margins like the model's own
    invert: bool | None = None  # black for white; None refuses what seems to need it
    background: int = 0  # `reading.ReadingSettings.background` of the training
    margins: float = 0.0  # `margin_brightness` of the images that the model was trained on

    @property
    def under_transparency(self) -> int:
        """Grey level under transparent pictures: as in training, else as the margins are."""
        is_on_white = bool(self.is_dark_on_white) != bool(self.invert)
        return self.background or (255 if is_on_white else 0)

    @property
    def is_dark_on_white(self) -> bool | None:
        """How the model's own images look; None if their margins do not tell."""
        return None if _UNCLEAR <= self.margins <= 1 - _UNCLEAR else self.margins > 0.5


def read_asked_for(
    settings: ImageSettings, image_shape: tuple[int, int, int], metadata: dict[str, Any]
) -> Images:
    """Reads the images that settings name: from a path, or a model's own test images.

    Args:
        settings: which images, and what may be done to them.
        image_shape: height, width and channels that the model takes.
        metadata: the `model.json` of the model.

    Returns:
        The images.

    Raises:
        UserError: if they cannot be had, or do not fit.
    """
    background = metadata.get("config", {}).get("background", 0)
    margins = _known_margins(metadata)
    fit = Fit(image_shape, settings.resize, settings.invert, background, margins)
    if settings.data_path is None:
        return read_own_images(metadata, fit)
    return read_images(settings.data_path, fit)


def _known_margins(metadata: dict[str, Any]) -> float:
    """The brightness of the margins that a model knows; black if an older version made it."""
    try:
        return float(metadata["data"]["margin_brightness"])
    except (KeyError, TypeError, ValueError):
        return 0.0


def read_images(path: str | Path, fit: Fit) -> Images:
    """Reads images in the form that a model takes.

    Args:
        path: an .npz (`x_test` and `y_test`, else `x_train` and `y_train`, else `images` and
            `labels`; labels may be left out, `class_names` may name them), an .npy of images, a
            picture, or a folder of pictures, whose folders name classes and splits as for training;
            of two splits the one for testing is taken.
        fit: what the model takes, and what may be done to the images.

    Returns:
        The images; those of a folder are in the order of their names.

    Raises:
        UserError: if there are none, or they do not fit.
    """
    path = Path(absolute(path))
    refuse_missing(path)
    if path.is_dir():
        return _read_folder(path, fit)
    if path.suffix.lower() in SUFFIXES:
        pixels, sizes = _read_pictures([path], fit)
        return Images(pixels, None, [printable(path.name)], _described(str(path), sizes, fit))
    return _read_arrays(path, fit)


def read_own_images(metadata: dict[str, Any], fit: Fit) -> Images:
    """Reads the test images of the data set that a model was trained on.

    Args:
        metadata: the `model.json` of the model.
        fit: as in `read_images`; these images are never refused for how bright they are.

    Returns:
        The images.

    Raises:
        UserError: if they cannot be had, or the data set is another now.
    """
    try:
        dataset = load_own(metadata)
    except UserError as error:
        raise UserError(f"{error}\nTo take other images, give --data_path.") from error
    images, labels = dataset.test.images[:], dataset.test.labels  # they may be on disk
    title = metadata["data"]["name"]
    pixels = _fitted(images, title, fit._replace(invert=bool(fit.invert)))
    origin = _described(f"{title} test", [images.shape[1:3]], fit)
    return _numbered(pixels, labels, origin, dataset.class_names)


def load_own(metadata: dict[str, Any], moved_to: str | None = None) -> Dataset:
    """Loads the data set that a model was trained on; nothing of a folder is kept in memory.

    Args:
        metadata: the `model.json` of the model.
        moved_to: where its images are now, if they are not where they were.

    Raises:
        UserError: if it is not known, cannot be had, or is another now.
    """
    try:
        data, config = metadata["data"], metadata["config"]
        data_path, seed, _ = config["data_path"], config["seed"], data["name"]
    except (KeyError, TypeError) as error:
        raise UserError("The model does not say what it was trained on.") from error
    reading = ReadingSettings.of(config)
    return load_again(data, data_path, seed, reading, cache_mb=0, moved_to=moved_to)


def _read_folder(folder: Path, fit: Fit) -> Images:
    """Reads the pictures below a folder, with the classes that its folders name."""
    listing = list_pictures(folder)
    if not listing.paths:
        raise UserError(f"{folder}: holds no pictures, such as PNG or JPEG files.")
    splits, labels, class_names = read_classes(listing)
    rows = np.arange(len(listing.paths)) if splits is None else np.flatnonzero(splits == TEST)
    pixels, sizes = _read_pictures([Path(listing.full_path(row)) for row in rows], fit)
    names = [printable(listing.paths[row]) for row in rows]
    origin = _described(f"pictures of {folder}", sizes, fit)
    return Images(pixels, None if labels is None else labels[rows], names, origin, class_names)


def _read_pictures(paths: list[Path], fit: Fit) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Reads pictures as grey levels that fit, [N, H, W, C], and their sizes."""
    pixels, sizes = [], []
    for path in paths:  # one large picture in memory at a time
        picture = _read_picture(path, fit)
        pixels.append(_fitted(picture, str(path), fit))
        sizes.append(picture.shape[1:3])
    return np.concatenate(pixels), sizes


def _read_picture(path: Path, fit: Fit) -> np.ndarray:
    """Reads a picture, or the first frame of an animation, uint8 [1, H, W, C]."""
    channels = fit.image_shape[-1]
    if channels not in (1, 3):
        raise UserError(f"{path}: the model takes images of {channels} channels; give an .npz.")
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    try:
        with without_warnings():
            form = Form(channels=channels, background=fit.under_transparency)
            return read_picture(path, form)[np.newaxis]
    except BadPictureError as error:
        raise UserError(f"{path}: cannot be read as a picture ({error}).") from error


def _read_arrays(path: Path, fit: Fit) -> Images:
    arrays = read_arrays(path, _ALL_ARRAYS, [images for images, _ in _ARRAYS])
    names = next(pair for pair in _ARRAYS if pair[0] in arrays)
    images, labels = (arrays.get(name) for name in names)
    pixels = _fitted(images, f"{path}: {names[0]}", fit)
    labels = to_labels(labels, len(pixels), f"{path}: {names[1]}")
    (labels,), class_names = name_classes([labels], arrays.get(CLASS_NAMES), str(path))
    origin = _described(f"{names[0]} of {path}", [images.shape[1:3]], fit)
    return _numbered(pixels, labels, origin, class_names)


def _numbered(
    pixels: np.ndarray,
    labels: np.ndarray | None,
    origin: str,
    class_names: tuple[str, ...] | None,
) -> Images:
    """Names images by their numbers."""
    names = [str(number) for number in range(len(pixels))]
    return Images(pixels, labels, names, origin, class_names)


def _described(origin: str, sizes: list[tuple[int, int]], fit: Fit) -> str:
    """Says which images these are, and what was done to images of these sizes."""
    parts = [origin]
    others = sorted({size for size in sizes if size != fit.image_shape[:2]})
    if others:
        largest = " x ".join(map(str, others[-1]))
        parts.append(f"resized from {'up to ' if len(others) > 1 else ''}{largest}")
    if fit.invert:
        parts.append("inverted")
    return ", ".join(parts)


def _fitted(images: np.ndarray, where: str, fit: Fit) -> np.ndarray:
    """Brings images to [0, 1], the model's kind and its size, as far as that is allowed."""
    images = to_uint8(images, where)
    if images.shape[-1] != fit.image_shape[-1]:
        raise UserError(
            f"{where} has {images.shape[-1]} channels; the model takes {fit.image_shape[-1]}."
        )
    if fit.invert is None and images.shape[-1] == 1:
        _check_kind(margin_brightness(images), where, fit)
    grey = images.astype(np.float32) / 255
    return _resized(1 - grey if fit.invert else grey, where, fit)


def _check_kind(margins: float, where: str, fit: Fit) -> None:
    """Refuses dark images on white for a model of white ones on black, and the other way round."""
    own, given = fit.is_dark_on_white, margins > 0.5
    if own not in (None, given):
        raise UserError(
            f"{where} seems to be {_KINDS[given]}, and the model knows {_KINDS[own]}; give "
            "--invert, or --noinvert if it is right as it is."
        )


def _resized(grey: np.ndarray, where: str, fit: Fit) -> np.ndarray:
    height, width = fit.image_shape[:2]
    if grey.shape[1:3] == (height, width):
        return grey
    if not fit.resize:
        raise UserError(
            f"{where} has {grey.shape[1]} x {grey.shape[2]} pixels; the model takes "
            f"{height} x {width}. Give --resize to fit it."
        )

    def padded(images: np.ndarray) -> np.ndarray:
        return np.clip(tf.image.resize_with_pad(images, height, width, antialias=True), 0, 1)

    return 1 - padded(1 - grey) if fit.is_dark_on_white else padded(grey)
