"""Images given to a model in use: from an .npz or .npy, a picture, or a folder of pictures."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from cvae_tf.core.errors import UserError
from cvae_tf.core.paths import absolute, listed, refuse_missing
from cvae_tf.core.terminal import say, warn
from cvae_tf.data.datasets import Dataset, read_arrays, to_uint8
from cvae_tf.data.folder import TEST, name_of_page, read_folder
from cvae_tf.data.inspection import look_at, margin_brightness
from cvae_tf.data.labels import CLASS_NAMES, MOST_LISTED, find_classes, read_labels
from cvae_tf.data.loading import load_again
from cvae_tf.data.picture_store import list_pages, say_pages_left_out
from cvae_tf.data.pictures import (
    IN_MEMORY,
    SUFFIXES,
    BadPictureError,
    Form,
    ImageSettings,
    Picture,
    ReadingSettings,
    count_pages,
    fitted,
    read,
    without_warnings,
)

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
    pages: str = "first"  # as in the training, like `ReadingSettings.pages`
    skip_bad: bool = False  # as in the training

    @property
    def form(self) -> Form:
        """How pictures are read: as in the training, else with margins like the model's own."""
        *size, channels = self.image_shape
        own = self.training_form or Form(fit="pad", background=255 * bool(self.is_dark_on_white))
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

    Raises:
        UserError: if they cannot be had, or do not fit.
    """
    fit = fit_of(metadata, image_shape, settings.invert)
    if not settings.names_images:
        return _read_own(metadata, fit)
    if settings.images is not None:
        images = _fit_arrays(settings.images, None, fit)
    else:
        images = read_images(settings.data_path, fit)
    say(f"images:  {images.origin}")
    _warn_of_learned_images(len(images.pixels), settings.data_path, metadata)
    looks = look_at(np.rint(images.pixels * 255).astype(np.uint8))
    if looks.use_little_of_the_range:
        warn(
            f"each image uses but a small part of the range: {looks.levels}; pictures are read as "
            "in the training, so save them with all levels if that is not meant."
        )
    return images


def _warn_of_learned_images(num: int, path: str | None, metadata: dict[str, Any]) -> None:
    """Warns if the images are all those of the training, held-out ones among them."""
    own, held_out = (metadata.get(name, {}) for name in ("config", "data"))
    own, held_out = own.get("data_path"), held_out.get("test_images", num)
    if path and own and num > held_out and Path(absolute(path)).resolve() == Path(own).resolve():
        warn(
            f"the model has learned from most of these images; without --data_path the "
            f"{held_out:,} held out for testing are taken."
        )


def fit_of(
    metadata: dict[str, Any], image_shape: tuple[int, int, int], invert: bool | None = None
) -> Fit:
    """Finds out how images are made to fit a model: as those of its training were."""
    data, reading = metadata.get("data", {}), ReadingSettings.of(metadata.get("config", {}))
    form, margins = data.get("pictures"), data.get("margin_brightness") or 0.0
    form = Form(**form) if form else None
    return Fit(image_shape, invert, margins, form, reading.pages, reading.skip_bad)


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
    if path.suffix.lower() not in SUFFIXES:
        arrays = read_arrays(path, _ALL_ARRAYS, [images for images, _ in _ARRAYS])
        return _fit_arrays(arrays, path, fit)
    count = count_pages(path) if fit.pages == "all" else 1
    pictures, _ = _read_pictures(path, [(path, page) for page in range(count)], fit)
    names = [name_of_page(path.name, page) for page in range(count)]
    return _join_pictures(pictures, names, str(path), fit)


def _read_own(metadata: dict[str, Any], fit: Fit) -> Images:
    """Reads the test images of the data set that a model was trained on, however bright."""
    try:
        dataset = load_own(metadata)
    except UserError as error:
        if metadata.get("data", {}).get("key") == IN_MEMORY:
            raise
        raise UserError(f"{error}\nTo take other images, give --data_path.") from error
    images = dataset.test.images[:]  # they may be on disk
    images = _joined(images, f"{dataset.name} test", [images.shape[1:3]], fit)
    names = dataset.test_names or images.names
    labels, class_names = dataset.test.labels, dataset.class_names
    return images._replace(labels=labels, names=names, class_names=class_names)


def class_numbers(images: Images, class_names: tuple[str, ...]) -> np.ndarray:
    """Finds the classes of N images by the names of those that a model knows, [Y].

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
    numbers, unknown = find_classes(images.shown_labels, class_names)
    if unknown:
        raise UserError(
            f"{images.origin}: has the label {unknown[0]}, which the model does not know; it knows "
            f"{listed(class_names, MOST_LISTED)}."
        )
    return numbers


def load_own(metadata: dict[str, Any], moved_to: str | None = None) -> Dataset:
    """Loads the data set that a model was trained on; nothing of a folder is kept in memory.

    Args:
        metadata: the `model.json` of the model.
        moved_to: where its images are now, if they are not where they were.

    Raises:
        UserError: if it is not known, cannot be had, or is another now.
    """
    if not {"data", "config"} <= metadata.keys():
        raise UserError("The model does not say what it was trained on.")
    config = metadata["config"]
    where = config["data_path"], config["seed"], ReadingSettings.of(config)
    return load_again(metadata["data"], *where, cache_mb=0, moved_to=moved_to)


def _read_folder(folder: Path, fit: Fit) -> Images:
    """Reads the pictures below a folder, with the classes that its folders name."""
    listing, classes = read_folder(folder)
    if fit.pages == "all":
        listing, files = list_pages(listing)
        classes = classes.of_rows(files)
    rows, what = np.arange(len(listing.paths)), "pictures"
    if classes.splits is not None:
        rows, what = np.flatnonzero(classes.splits == TEST), "test pictures"
    places = [(Path(listing.full_path(row)), listing.page(row)) for row in rows]
    pictures, kept = _read_pictures(folder, places, fit)
    rows = rows[kept]
    names = [listing.name(row) for row in rows]
    images = _join_pictures(pictures, names, f"{what} of {folder}", fit)
    return images._replace(labels=classes.of_rows(rows).labels, class_names=classes.names)


def _read_pictures(
    where: Path, places: list[tuple[Path, int]], fit: Fit
) -> tuple[list[Picture], list[int]]:
    """Reads pages of files that fit; which of them could be read, if others are left out."""
    channels = fit.image_shape[-1]
    if channels not in (1, 3):
        raise UserError(f"{where}: the model takes images of {channels} channels; give an .npz.")
    pictures, kept = [], []
    for number, (path, page) in enumerate(places):  # one large picture in memory at a time
        try:
            with without_warnings():
                pictures.append(read(path, fit.form, page))
            kept.append(number)
        except BadPictureError as error:
            if not fit.skip_bad:
                raise UserError(f"{path}: cannot be read as a picture ({error}).") from error
    if not kept:
        raise UserError(f"{where}: no picture of it can be read.")
    if left_out := len(places) - len(kept):
        say(f"{left_out:,} of {len(places):,} pictures cannot be read and are left out.")
    return pictures, kept


def _join_pictures(pictures: list[Picture], names: list[str], origin: str, fit: Fit) -> Images:
    if fit.pages == "first":
        count = sum(picture.num_pages - 1 for picture in pictures)
        say_pages_left_out(count, "as in the training, without --pages=all")
    pixels = np.stack([picture.pixels for picture in pictures])
    _check_kind(pixels, origin, fit)
    images = _joined(pixels, origin, [picture.size for picture in pictures], fit)
    return images._replace(names=names)


def _fit_arrays(arrays: dict[str, np.ndarray], path: Path | None, fit: Fit) -> Images:
    """Makes images of the arrays of a file, or of those that were given in memory."""
    names = next(pair for pair in _ARRAYS if pair[0] in arrays)
    prefix = f"{path}: " if path else ""
    where = f"{prefix}{names[0]}"
    images = to_uint8(arrays[names[0]], where)
    size, channels = images.shape[1:3], images.shape[-1]
    if channels != fit.image_shape[-1]:
        raise UserError(f"{where} has {channels} channels; the model takes {fit.image_shape[-1]}.")
    _check_kind(images, where, fit)
    given = {names[1]: (arrays.get(names[1]), len(images))}
    (labels,), class_names = read_labels(given, arrays.get(CLASS_NAMES), prefix)
    if size != fit.image_shape[:2]:
        pictures = (Image.fromarray(each[..., 0] if channels == 1 else each) for each in images)
        pixels = np.stack([np.asarray(fitted(each, fit.form)) for each in pictures])
        images = pixels.reshape(len(images), *fit.image_shape)
    origin = f"{names[0]} of {path}" if path else "arrays given in Python"
    images = _joined(images, origin, [size], fit)
    return images._replace(labels=labels, class_names=class_names)


def _check_kind(images: np.ndarray, where: str, fit: Fit) -> None:
    """Refuses dark images on white for a model of white ones on black, and the other way round."""
    if fit.invert is not None or images.shape[-1] > 1:
        return
    own, given = fit.is_dark_on_white, margin_brightness(images) > 0.5
    if own not in (None, given):
        raise UserError(
            f"{where}: the images seem to be {_KINDS[given]}, and the model knows {_KINDS[own]}; "
            "give --invert, or --noinvert if they are right as they are."
        )


def _joined(images: np.ndarray, origin: str, sizes: list[tuple[int, int]], fit: Fit) -> Images:
    """Makes what a model works on of images that fit, which had these sizes before."""
    others = sorted({size for size in sizes if size != fit.image_shape[:2]})
    if others:
        largest = " x ".join(map(str, others[-1]))
        origin += f", resized from {'up to ' if len(others) > 1 else ''}{largest}"
    pixels = images.astype(np.float32) / 255
    if fit.invert:
        pixels, origin = 1 - pixels, f"{origin}, inverted"
    return Images(pixels, None, [str(number) for number in range(len(pixels))], origin)
