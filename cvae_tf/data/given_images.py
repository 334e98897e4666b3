"""Images for a model that is in use: from an .npz, a picture, or a folder of pictures."""

from pathlib import Path
from typing import Any, NamedTuple

import imageio.v3 as iio
import numpy as np
import tensorflow as tf

from cvae_tf.core.errors import UserError
from cvae_tf.data import npz
from cvae_tf.data.datasets import check_labels, fingerprint, load_again, to_uint8
from cvae_tf.generation.settings import ImageSettings

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
_ARRAYS = (("x_test", "y_test"), ("x_train", "y_train"), ("images", "labels"))
_MODES = {1: "L", 3: "RGB"}  # as Pillow calls them, by channels


class Images(NamedTuple):
    """Images with what is known of them."""

    pixels: np.ndarray  # grey levels in [0, 1], float32 [N, H, W, C]
    labels: np.ndarray | None  # [N]
    names: list[str]  # N of them: file names, or numbers
    origin: str = ""  # which images they are


class Fit(NamedTuple):
    """How images are made to fit a model."""

    image_shape: tuple[int, int, int]  # height, width and channels that the model takes
    resize: bool = False  # whether to bring other sizes to it, with black margins if need be
    invert: bool | None = None  # black for white; None refuses what seems to need it


def read_asked_for(
    settings: ImageSettings, image_shape: tuple[int, int, int], metadata: dict[str, Any]
) -> Images:
    """Reads the images that settings name: from a path, or a model's own test images.

    Args:
        settings: which images, and what may be done to them.
        image_shape: height, width and channels that the model takes.
        metadata: the `model.json` of the model.

    Returns:
        The images; their origin says what was done to them.

    Raises:
        UserError: if they cannot be had, or do not fit.
    """
    fit = Fit(image_shape, settings.resize, settings.invert)
    read = read_images if settings.data_path else read_own_images
    images = read(settings.data_path or metadata, fit)
    done = {"resized": settings.resize, "inverted": settings.invert}
    return images._replace(origin=", ".join([images.origin, *(how for how in done if done[how])]))


def read_images(path: str | Path, fit: Fit) -> Images:
    """Reads images in the form that a model takes.

    Args:
        path: an .npz (`x_test`, else `x_train`, else `images`), a picture, or a folder of pictures.
        fit: what the model takes, and what may be done to the images.

    Returns:
        The images; those of a folder are in the order of their names.

    Raises:
        UserError: if there are none, or they do not fit.
    """
    path = Path(path)
    if path.is_dir():
        pictures = sorted(file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES)
        if not pictures:
            raise UserError(f"{path}: holds no pictures ({', '.join(_SUFFIXES)}).")
        return _read_pictures(pictures, fit)
    if path.suffix.lower() in _SUFFIXES:
        return _read_pictures([path], fit)
    return _read_npz(path, fit)


def read_own_images(metadata: dict[str, Any], fit: Fit) -> Images:
    """Reads the test images of the data set that a model was trained on.

    Args:
        metadata: the `model.json` of the model.
        fit: as in `read_images`.

    Returns:
        The images.

    Raises:
        UserError: if they cannot be had, or the data set is another now.
    """
    try:
        config, title = metadata["config"], metadata["data"]["name"]
        data_path, seed = config["data_path"], config["seed"]
    except (KeyError, TypeError) as error:
        raise UserError(
            "The model does not say what it was trained on; give --data_path."
        ) from error
    dataset = load_again(title, data_path, seed)
    known = metadata["data"].get("sha256")
    if known and fingerprint(dataset) != known:
        raise UserError(
            f"{data_path or title}: the images are not those of the training any more; to take "
            "others, give --data_path."
        )
    pixels = _fitted(dataset.test.images, title, fit)
    return _numbered(pixels, dataset.test.labels, f"{title} test")


def _read_pictures(paths: list[Path], fit: Fit) -> Images:
    mode = _MODES[fit.image_shape[-1]]
    pixels = []
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path}: no such file.")
        try:
            picture = iio.imread(path, plugin="pillow", index=0, mode=mode)
        except Exception as error:  # a file from anywhere fails in many ways
            raise UserError(f"{path}: cannot be read as a picture ({error}).") from error
        pixels.append(_fitted(picture[np.newaxis], str(path), fit))
    origin = str(paths[0]) if len(paths) == 1 else f"pictures of {paths[0].parent}"
    return Images(np.concatenate(pixels), None, [path.name for path in paths], origin)


def _read_npz(path: Path, fit: Fit) -> Images:
    arrays = npz.read_npz(path, tuple(name for pair in _ARRAYS for name in pair))
    pairs = [pair for pair in _ARRAYS if pair[0] in arrays]
    if not pairs:
        raise UserError(f"{path}: holds no array x_test, x_train or images.")
    images, labels = (arrays.get(name) for name in pairs[0])
    pixels = _fitted(images, f"{path}: {pairs[0][0]}", fit)
    check_labels(labels, len(pixels), f"{path}: {pairs[0][1]}")
    return _numbered(pixels, labels, f"{pairs[0][0]} of {path}")


def _numbered(pixels: np.ndarray, labels: np.ndarray | None, origin: str) -> Images:
    """Names images by their numbers."""
    return Images(pixels, labels, [str(number) for number in range(len(pixels))], origin)


def _fitted(images: np.ndarray, where: str, fit: Fit) -> np.ndarray:
    """Brings images to white on black, [0, 1], and the model's size, as far as that is allowed."""
    height, width, channels = fit.image_shape
    grey = to_uint8(images, where).astype(np.float32) / 255
    if grey.shape[-1] != channels:
        raise UserError(f"{where} has {grey.shape[-1]} channels; the model takes {channels}.")
    if fit.invert is None and channels == 1 and _is_dark_on_white(grey):
        raise UserError(
            f"{where} seems to be dark on white, and the model knows white on black; "
            "give --invert, or --noinvert if it is right as it is."
        )
    if fit.invert:
        grey = 1 - grey
    if grey.shape[1:3] == (height, width):
        return grey
    if not fit.resize:
        raise UserError(
            f"{where} has {grey.shape[1]} x {grey.shape[2]} pixels; the model takes "
            f"{height} x {width}. Give --resize to fit it."
        )
    return np.clip(tf.image.resize_with_pad(grey, height, width, antialias=True), 0, 1)


def _is_dark_on_white(grey: np.ndarray) -> bool:
    """Whether the margins of images [N, H, W, 1] are more white than black."""
    margins = (grey[:, 0], grey[:, -1], grey[:, :, 0], grey[:, :, -1])
    return float(np.mean([margin.mean() for margin in margins])) > 0.5
