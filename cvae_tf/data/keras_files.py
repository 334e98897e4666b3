"""The files in which the Keras cache keeps its data sets, read as arrays."""

import gzip
import hashlib
import math
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.data import datasets, plain_pickle, safe_npz

IDX_FILES = (  # in the order of `datasets.IMAGES_AND_LABELS`
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
_IDX_STARTS = (b"\0\0\x08\1", b"\0\0\x08\3")  # bytes in one dimension, or in three


class OtherContentsError(Exception):
    """A file does not hold what was published; its text is the path."""


def read_npz(files: list[Path], sha256: str | None) -> dict[str, np.ndarray]:
    """Reads the arrays of an .npz.

    Args:
        files: the one.
        sha256: of the bytes of the arrays in the order of `datasets.IMAGES_AND_LABELS`, however
            they were packed.

    Returns:
        The arrays, and no others.

    Raises:
        UserError: if it is damaged.
        OtherContentsError: if the sum is another.
    """
    arrays = safe_npz.read_npz(files[0], datasets.IMAGES_AND_LABELS)
    digest = hashlib.sha256()
    for name in datasets.IMAGES_AND_LABELS:
        if name in arrays:
            digest.update(np.ascontiguousarray(arrays[name]))
    if digest.hexdigest() != sha256:
        raise OtherContentsError(files[0])
    return arrays


def read_idx(files: list[Path], sha256: str | None = None) -> dict[str, np.ndarray]:
    """Reads images and labels in the form of LeCun, each packed by gzip, which has its own sums.

    Args:
        files: in the order of `IDX_FILES`.
        sha256: not looked at; nobody has published one.

    Returns:
        The arrays by the names of `datasets.IMAGES_AND_LABELS`.

    Raises:
        UserError: if one is damaged.
    """
    arrays = [_read_idx(file) for file in files]
    return dict(zip(datasets.IMAGES_AND_LABELS, arrays, strict=True))


def _read_idx(file: Path) -> np.ndarray:
    """Reads one array of bytes, no more of them than its header promises."""
    try:
        with gzip.open(file) as contents:
            start = contents.read(4)
            if start not in _IDX_STARTS:
                raise UserError(f"{file}: not a file of images or labels; move it away.")
            sides = [contents.read(4) for _ in range(start[-1])]
            shape = [int.from_bytes(side, "big") for side in sides]
            values = contents.read(math.prod(shape) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{file}: cannot be read, the file is damaged ({error}).") from error
    if len(values) != math.prod(shape) or len(sides[-1]) < 4:
        raise UserError(f"{file}: holds more or less than it says; move it away.")
    return np.frombuffer(values, np.uint8).reshape(shape).copy()


def read_cifar10(files: list[Path], sha256: str | None) -> dict[str, np.ndarray]:
    """Reads CIFAR-10 from the archive in which it was published.

    The archive is read rather than what Keras has unpacked from it, because its sum is known; so
    nobody can have changed what is read.

    Args:
        files: the archive.
        sha256: of the archive.

    Returns:
        The arrays by the names of `datasets.ARRAYS`.

    Raises:
        UserError: if it is damaged.
        OtherContentsError: if the sum is another.
    """
    train = [f"data_batch_{i}" for i in range(1, 6)]
    names = [f"cifar-10-batches-py/{name}" for name in (*train, "test_batch", "batches.meta")]
    *batches, meta = _read_members(files[0], names, sha256)
    return _join(files[0], batches[:-1], batches[-1:], meta, ("labels", "label_names"))


def read_cifar100(files: list[Path], sha256: str | None) -> dict[str, np.ndarray]:
    """Reads CIFAR-100, with the names of its 100 classes, as `read_cifar10` does."""
    names = [f"cifar-100-python/{name}" for name in ("train", "test", "meta")]
    train, test, meta = _read_members(files[0], names, sha256)
    return _join(files[0], [train], [test], meta, ("fine_labels", "fine_label_names"))


def _read_members(archive: Path, names: list[str], sha256: str | None) -> list[dict[str, Any]]:
    """Reads files of an archive, in the order of the names, after comparing its sum."""
    try:
        with archive.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                raise OtherContentsError(archive)
            file.seek(0)
            with tarfile.open(fileobj=file) as members:
                found = {
                    member.name: plain_pickle.load(members.extractfile(member))
                    for member in members
                    if member.name in names and member.isfile()
                }
        return [found[name] for name in names]
    except (OSError, EOFError, zlib.error, tarfile.TarError, KeyError, ValueError) as error:
        raise UserError(f"{archive}: cannot be read, the file is damaged ({error}).") from error


def _join(
    archive: Path, train: list[dict], test: list[dict], meta: dict, keys: tuple[str, str]
) -> dict[str, np.ndarray]:
    """Makes arrays of batches; their images are stored channel by channel."""
    labels_key, names_key = keys
    try:
        arrays = {"class_names": np.array([name.decode() for name in meta[names_key]])}
        for part, batches in (("train", train), ("test", test)):
            planes = [batch["data"].reshape(-1, 3, 32, 32) for batch in batches]
            arrays[f"x_{part}"] = np.concatenate([plane.transpose(0, 2, 3, 1) for plane in planes])
            arrays[f"y_{part}"] = np.concatenate([batch[labels_key] for batch in batches])
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise UserError(f"{archive}: is not as CIFAR was published ({error}).") from error
    return arrays
