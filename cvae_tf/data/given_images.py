"""Images given to a model in use: from an .npz or .npy, a picture, or a folder of pictures."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from cvae_tf.core.errors import UserError
from cvae_tf.core.paths import absolute, listed, printable, refuse_missing
from cvae_tf.core.terminal import say, warn
from cvae_tf.data.datasets import Dataset, read_arrays, to_uint8
from cvae_tf.data.folder_layout import TEST, read_folder
from cvae_tf.data.folder_listing import SUFFIXES, Listing
from cvae_tf.data.inspection import look_at, margin_brightness
from cvae_tf.data.labels import CLASS_NAMES, MOST_LISTED, class_number, name_classes, to_labels
from cvae_tf.data.loading import load_again
from cvae_tf.data.picture_store import form_of, list_pages, say_pages_left_out
from cvae_tf.data.pictures import (
    BadPictureError,
    Form,
    Picture,
    count_pages,
    fitted,
    read,
    without_warnings,
)
from cvae_tf.data.settings import ImageSettings, ReadingSettings

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
    invert: bool | None = None  # black for white; None refuses what seems to need it
    margins: float = 0.0  # `margin_brightness` of the images that the model was trained on
    training_form: Form | None = None  # of the pictures of the training; None if it had arrays
    pages: str = "first"  # as in the training, one of `reading.PAGES`
    skip_bad: bool = False  # as in the training

    @property
    def form(self) -> Form:
        """How pictures are read: as in the training, else with margins like the model's own."""
        *size, channels = self.image_shape
        if self.training_form is None:
            own = Form(fit="pad", background=255 if self.is_dark_on_white else 0)
        else:
            own = self.training_form
        background = 255 - own.background if self.invert else own.background
        return own._replace(size=tuple(size), channels=channels, background=background)

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
    fit = fit_of(metadata, image_shape, settings.invert)
    if settings.data_path is None:
        return read_own_images(metadata, fit)
    images = read_images(settings.data_path, fit)
    say(f"images:  {images.origin}")
    looks = look_at(np.rint(images.pixels * 255).astype(np.uint8))
    if looks.use_little_of_the_range:
        warn(
            f"each image uses but a small part of the range: {looks.levels}; pictures are read as "
            "in the training, so save them with all levels if that is not meant."
        )
    return images


def fit_of(
    metadata: dict[str, Any], image_shape: tuple[int, int, int], invert: bool | None = None
) -> Fit:
    """Finds out how images are made to fit a model: as those of its training were.

    Args:
        metadata: the `model.json` of the model.
        image_shape: height, width and channels that it takes.
        invert: black for white; None refuses what seems to need it.
    """
    reading = ReadingSettings.of(metadata.get("config", {}))
    form, margins = _training_form(metadata), _known_margins(metadata)
    return Fit(image_shape, invert, margins, form, reading.pages, reading.skip_bad)


def _training_form(metadata: dict[str, Any]) -> Form | None:
    """How the pictures of the training were read; None if it had arrays, or it is not known."""
    config, data = metadata.get("config", {}), metadata.get("data", {})
    if "pictures" in data:
        return data["pictures"] and Form(**data["pictures"])
    path = config.get("data_path")  # older versions recorded the settings alone
    is_folder = path is not None and not str(path).lower().endswith(".npz")
    return form_of(ReadingSettings.of(config)) if is_folder else None


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
        return _read_file(path, fit)
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
    pixels = _as_grey(images, fit)
    origin = _described(f"{title} test", [images.shape[1:3]], fit)
    return _numbered(pixels, labels, origin, dataset.class_names)


def class_numbers(images: Images, class_names: tuple[str, ...]) -> np.ndarray:
    """Finds the classes of images as a conditional model takes them.

    Args:
        images: N images given to the model.
        class_names: of the model, [Y].

    Returns:
        int32 [N], from 0 to Y - 1.

    Raises:
        UserError: if the images have no labels, or others than the model knows.
    """
    if images.labels is None:
        raise UserError(
            "This model is a conditional one and needs labelled images, such as an .npz with "
            "y_test, or a folder for each class."
        )
    shown = images.shown_labels.astype(str).tolist()
    number_of = {label: class_number(label, class_names) for label in dict.fromkeys(shown)}
    for label, number in number_of.items():
        if number is None:
            raise UserError(
                f"{images.origin}: has the label {label}, which the model does not know; it knows "
                f"{listed(class_names, MOST_LISTED)}."
            )
    return np.array([number_of[label] for label in shown], np.int32)


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


def _read_file(path: Path, fit: Fit) -> Images:
    """Reads a picture, or all pages of one if those of the training were read so."""
    count = count_pages(path) if fit.pages == "all" else 1
    pictures = [_read_picture(path, fit, page) for page in range(count)]
    _say_pages_left_out(pictures, fit)
    pixels = np.stack([picture.pixels for picture in pictures])
    _check_kind(pixels, str(path), fit)
    origin = _described(str(path), [picture.size for picture in pictures], fit)
    return Images(_as_grey(pixels, fit), None, [printable(path.name)] * count, origin)


def _say_pages_left_out(pictures: list[Picture], fit: Fit) -> None:
    if fit.pages == "first":
        count = sum(picture.num_pages - 1 for picture in pictures)
        say_pages_left_out(count, "as in the training, without --pages=all")


def _read_folder(folder: Path, fit: Fit) -> Images:
    """Reads the pictures below a folder, with the classes that its folders name."""
    listing, (splits, labels, class_names, _) = read_folder(folder)
    is_wanted = np.ones(len(listing.paths), bool) if splits is None else splits == TEST
    files = np.arange(len(listing.paths))
    if fit.pages == "all":
        listing, files = list_pages(listing)
    pixels, sizes, rows = _read_pictures(listing, np.flatnonzero(is_wanted[files]), fit)
    _check_kind(pixels, str(folder), fit)
    names, files = [printable(listing.paths[row]) for row in rows], files[rows]
    what = "pictures" if splits is None else "test pictures"
    origin = _described(f"{what} of {folder}", sizes, fit)
    labels = None if labels is None else labels[files]
    return Images(_as_grey(pixels, fit), labels, names, origin, class_names)


def _read_pictures(
    listing: Listing, rows: np.ndarray, fit: Fit
) -> tuple[np.ndarray, list[tuple[int, int]], np.ndarray]:
    """Reads pictures of a folder that fit, uint8 [N, H, W, C], their sizes, and which they are."""
    pictures, kept = [], []
    for row in rows:  # one large picture in memory at a time
        try:
            picture = _read_picture(Path(listing.full_path(row)), fit, listing.page(row))
        except UserError:
            if not fit.skip_bad:
                raise
            continue
        pictures.append(picture)
        kept.append(row)
    if not kept:
        raise UserError(f"{listing.root}: none of its pictures can be read.")
    if left_out := len(rows) - len(kept):
        say(f"{left_out:,} of {len(rows):,} pictures cannot be read and are left out.")
    _say_pages_left_out(pictures, fit)
    pixels = np.stack([picture.pixels for picture in pictures])
    return pixels, [picture.size for picture in pictures], np.array(kept)


def _read_picture(path: Path, fit: Fit, page: int = 0) -> Picture:
    """Reads a picture that fits."""
    channels = fit.image_shape[-1]
    if channels not in (1, 3):
        raise UserError(f"{path}: the model takes images of {channels} channels; give an .npz.")
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    try:
        with without_warnings():
            return read(path, fit.form, page)
    except BadPictureError as error:
        raise UserError(f"{path}: cannot be read as a picture ({error}).") from error


def _read_arrays(path: Path, fit: Fit) -> Images:
    arrays = read_arrays(path, _ALL_ARRAYS, [images for images, _ in _ARRAYS])
    names = next(pair for pair in _ARRAYS if pair[0] in arrays)
    where, (images, labels) = f"{path}: {names[0]}", (arrays.get(name) for name in names)
    images = to_uint8(images, where)
    if images.shape[-1] != fit.image_shape[-1]:
        raise UserError(
            f"{where} has {images.shape[-1]} channels; the model takes {fit.image_shape[-1]}."
        )
    _check_kind(images, where, fit)
    labels = to_labels(labels, len(images), f"{path}: {names[1]}")
    (labels,), class_names = name_classes([labels], arrays.get(CLASS_NAMES), str(path))
    origin = _described(f"{names[0]} of {path}", [images.shape[1:3]], fit)
    return _numbered(_as_grey(_resized(images, fit), fit), labels, origin, class_names)


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


def _check_kind(images: np.ndarray, where: str, fit: Fit) -> None:
    """Refuses dark images on white for a model of white ones on black, and the other way round."""
    if fit.invert is not None or images.shape[-1] > 1:
        return
    own, given = fit.is_dark_on_white, margin_brightness(images) > 0.5
    if own not in (None, given):
        raise UserError(
            f"{where} seems to be {_KINDS[given]}, and the model knows {_KINDS[own]}; give "
            "--invert, or --noinvert if it is right as it is."
        )


def _resized(images: np.ndarray, fit: Fit) -> np.ndarray:
    """Brings arrays of images to the size of the model, as pictures are."""
    if images.shape[1:3] == fit.image_shape[:2] or images.shape[-1] not in (1, 3):
        return images
    pictures = (
        Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image) for image in images
    )
    return np.stack([np.asarray(fitted(each, fit.form)) for each in pictures]).reshape(
        len(images), *fit.image_shape
    )


def _as_grey(images: np.ndarray, fit: Fit) -> np.ndarray:
    """Grey levels or colours in [0, 1], inverted if that is asked for."""
    grey = images.astype(np.float32) / 255
    return 1 - grey if fit.invert else grey
