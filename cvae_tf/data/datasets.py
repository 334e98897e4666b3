"""Image data sets by name or from a file, as uint8 arrays with labels if there are any."""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cvae_tf.core.errors import UserError
from cvae_tf.data import npz, warps

# Of the bytes of the arrays in the order of _ARRAYS, so that it holds however they were packed.
_MNIST_SHA256 = "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16"
_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
_DIGITS_FOR_TRAINING = 1500
_COPIES_OF_A_DIGIT = 16
_HELD_OUT = 0.1  # part of a file without x_test
_SECONDS_IF_OPTIONAL, _SECONDS_IF_ASKED_FOR = 30, 300  # a wait for the download of MNIST


class Split(NamedTuple):
    """Images of one purpose, and their labels."""

    images: np.ndarray  # uint8 [N, H, W, C]
    labels: np.ndarray | None  # [N]


class Dataset(NamedTuple):
    """What a model is trained and tested on."""

    name: str
    origin: str  # where the images came from, a sentence for people
    train: Split
    test: Split

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return self.train.images.shape[1:]


def load_dataset(name: str = "auto", data_path: str | None = None, seed: int = 0) -> Dataset:
    """Loads a data set by its name, or a user's own file.

    Args:
        name: "auto", "mnist" or "digits"; not looked at if a path is given.
        data_path: an .npz with `x_train` and optionally `x_test`, `y_train`, `y_test`.
        seed: decides the variations of the digits, and the images held out of a lone `x_train`.

    Returns:
        The data set.

    Raises:
        UserError: if it cannot be had, or a file does not hold images.
    """
    if data_path is not None:
        return load_npz(Path(data_path), seed)
    if name == "digits":
        return load_digits(seed)
    try:
        return load_mnist(_SECONDS_IF_OPTIONAL if name == "auto" else _SECONDS_IF_ASKED_FOR)
    except UserError as error:
        if name != "auto":
            raise UserError(
                f"{error}\nUse --data_path=FILE.npz for a copy of yours, or --dataset=digits."
            ) from error
        digits = load_digits(seed)
        return digits._replace(origin=f"{digits.origin} Not MNIST: {error}")


def load_again(title: str, data_path: str | None, seed: int) -> Dataset:
    """Loads what a run has learned from, also if it was only found by `--dataset=auto`.

    Args:
        title: the `name` of that data set.
        data_path: as in `load_dataset`.
        seed: as in `load_dataset`.

    Returns:
        The data set.

    Raises:
        UserError: as in `load_dataset`.
    """
    return load_dataset("mnist" if title == "MNIST" else "digits", data_path, seed)


def fingerprint(dataset: Dataset) -> str:
    """SHA-256 of all images, by which a data set can be known again."""
    digest = hashlib.sha256()
    for split in (dataset.train, dataset.test):
        digest.update(split.images)
    return digest.hexdigest()


def load_npz(path: Path, seed: int = 0) -> Dataset:
    """Reads images, and labels if there are any, from an .npz as Keras stores MNIST.

    Args:
        path: the file; its images are uint8, or floats in [0, 1], [N, H, W] or [N, H, W, C].
        seed: decides which tenth is held out if there is no `x_test`.

    Returns:
        The data set, named after the file.

    Raises:
        UserError: if the file does not hold such arrays.
    """
    return _from_arrays(path, npz.read_npz(path, _ARRAYS), seed)


def _from_arrays(path: Path, arrays: dict[str, np.ndarray], seed: int) -> Dataset:
    if "x_train" not in arrays:
        raise UserError(f"{path}: holds no array x_train (and optionally x_test).")
    splits = [
        _checked_split(path, part, arrays[f"x_{part}"], arrays.get(f"y_{part}"))
        for part in ("train", "test")
        if f"x_{part}" in arrays
    ]
    if len(splits) == 1:
        train, test = _hold_out(path, splits[0], seed)
        origin = f"{path}, a tenth of x_train held out for testing."
    else:
        train, test = splits
        origin = f"{path}."
    if train.images.shape[1:] != test.images.shape[1:]:
        raise UserError(
            f"{path}: x_train has images of shape {train.images.shape[1:]}, "
            f"x_test of {test.images.shape[1:]}; they must agree."
        )
    return Dataset(path.name, origin, train, test)


def _checked_split(path: Path, part: str, images: np.ndarray, labels: np.ndarray | None) -> Split:
    images = to_uint8(images, f"{path}: x_{part}")
    check_labels(labels, len(images), f"{path}: y_{part}")
    return Split(images, labels)


def check_labels(labels: np.ndarray | None, num_images: int, where: str) -> None:
    """Raises a UserError that begins with `where` if there are not as many labels as images."""
    if labels is not None and labels.shape != (num_images,):
        raise UserError(
            f"{where} has the shape {labels.shape}; it must be one label for each of "
            f"the {num_images} images."
        )


def to_uint8(images: np.ndarray, where: str) -> np.ndarray:
    """Brings images to the form that a data set keeps.

    Args:
        images: [N, H, W] or [N, H, W, C], uint8 or floats in [0, 1].
        where: names the array in an error.

    Returns:
        uint8 [N, H, W, C], contiguous.

    Raises:
        UserError: if the array has another form.
    """
    if images.ndim not in (3, 4):
        raise UserError(
            f"{where} has the shape {images.shape}; it must be [N, H, W] or [N, H, W, C]."
        )
    if images.size == 0:
        raise UserError(f"{where} is empty (shape {images.shape}).")
    if images.dtype.kind == "f":
        low, high = float(np.min(images)), float(np.max(images))
        if not (low >= 0 and high <= 1):  # also true for NaN
            raise UserError(
                f"{where} has floats from {low} to {high}; they must lie in [0, 1], without NaN."
            )
        images = np.rint(images * 255).astype(np.uint8)
    elif images.dtype != np.uint8:
        raise UserError(f"{where} is {images.dtype}; it must be uint8, or floats in [0, 1].")
    elif images.max() == 1:
        raise UserError(f"{where} is uint8 with values 0 and 1 only; white must be 255.")
    images = np.ascontiguousarray(images)
    return images if images.ndim == 4 else images[..., np.newaxis]


def _hold_out(path: Path, split: Split, seed: int) -> tuple[Split, Split]:
    if len(split.images) < 2:
        raise UserError(f"{path}: x_train has one image; with no x_test at least 2 are needed.")
    order = np.random.default_rng(seed).permutation(len(split.images))
    num_test = max(1, round(len(order) * _HELD_OUT))

    def take(indices: np.ndarray) -> Split:
        labels = None if split.labels is None else split.labels[indices]
        return Split(split.images[indices], labels)

    return take(order[num_test:]), take(order[:num_test])


def load_digits(seed: int = 0) -> Dataset:
    """Loads the bundled digits: 24,000 variations for training, 297 originals for testing.

    The data are the test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin and
    C. Kaynak, UCI Machine Learning Repository, CC BY 4.0): 1,797 scans of 8 x 8 pixels.

    Args:
        seed: decides the variations.

    Returns:
        The data set, uint8 [N, 28, 28, 1].
    """
    scans = npz.read_npz(Path(__file__).with_name("digits.npz"), ("images", "labels"))
    images, labels = scans["images"], scans["labels"]
    cut = _DIGITS_FOR_TRAINING
    spread = warps.WarpRange(degrees=6.0, scale=0.07, shear=0.1, shift=0.7)
    varied = [
        _enlarge(images[:cut], warps.WarpRange() if copy == 0 else spread, [seed, copy])
        for copy in range(_COPIES_OF_A_DIGIT)
    ]
    train = Split(np.concatenate(varied), np.tile(labels[:cut], _COPIES_OF_A_DIGIT))
    test = Split(_enlarge(images[cut:], warps.WarpRange(), [seed, 0]), labels[cut:])
    return Dataset("bundled digits", "The bundled digits (UCI, 1,797 scans).", train, test)


def _enlarge(images: np.ndarray, spread: warps.WarpRange, seed: list[int]) -> np.ndarray:
    """Makes 8 x 8 scans in 0..16 into 20 x 20 digits centred in 28 x 28, as MNIST has them."""
    grey = tf.constant(images[..., np.newaxis] / 16, tf.float32)
    smooth = tf.image.resize(grey, [80, 80], "bicubic")  # four pixels for each one of the result
    transforms = warps.random_transforms(len(images), seed, spread, (80, 80), (20, 20))
    result = warps.warp(smooth, transforms, (28, 28))
    return np.rint(np.clip(result, 0, 1) * 255).astype(np.uint8)


def load_mnist(seconds: float = _SECONDS_IF_ASKED_FOR) -> Dataset:
    """Loads MNIST from the Keras cache, or downloads it into the cache.

    Args:
        seconds: the longest wait for a download.

    Returns:
        The data set, uint8 [N, 28, 28, 1].

    Raises:
        UserError: if it is not in the cache and cannot be downloaded, or the cached file is
            damaged. That file is then left as it is, where the loader of Keras would delete it.
    """
    keras_home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    cached = keras_home / "datasets" / "mnist.npz"
    if not cached.exists():
        _download_mnist(cached, seconds)
    arrays = npz.read_npz(cached, _ARRAYS)
    digest = hashlib.sha256()
    for name in _ARRAYS:
        if name in arrays:
            digest.update(np.ascontiguousarray(arrays[name]))
    if digest.hexdigest() != _MNIST_SHA256:
        raise UserError(f"{cached} does not hold MNIST as it was published; move it away.")
    dataset = _from_arrays(cached, arrays, seed=0)  # which holds nothing out: there is an x_test
    return dataset._replace(name="MNIST", origin=f"MNIST, from {cached}.")


def _download_mnist(cached: Path, seconds: float) -> None:
    """Lets Keras download and check the file in a process that can be stopped, then moves it."""
    print(f"MNIST is not in the Keras cache; trying to download it (at most {seconds} s) ...")
    code = "import socket, keras; socket.setdefaulttimeout(5); keras.datasets.mnist.load_data()"
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".downloading-", dir=cached.parent) as home:
            subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "KERAS_HOME": home},
                timeout=seconds,
                check=True,
                capture_output=True,
            )
            (Path(home) / "datasets" / "mnist.npz").replace(cached)
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError("MNIST is not in the Keras cache and cannot be downloaded.") from error
