"""The data sets that Keras loads, by name: from its cache, or by a download into it.

The files of the cache are read here, as arrays. CIFAR was published as pickles, which may name any
function to be called. Here two names are known, those by which NumPy has written arrays of bytes,
and stand-ins take their place; all others are refused.
"""

import dataclasses
import gzip
import hashlib
import math
import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cvae_tf.core import paths
from cvae_tf.core.errors import UserError
from cvae_tf.core.terminal import say
from cvae_tf.data import datasets, safe_npz
from cvae_tf.data.datasets import Dataset

_OTHERWISE = "Use --data_path=FILE.npz for a copy of yours, or --dataset=digits."
IDX_FILES = (  # in the order of `datasets.IMAGES_AND_LABELS`
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
_IDX_STARTS = (b"\0\0\x08\1", b"\0\0\x08\3")  # bytes in one dimension, or in three


@dataclasses.dataclass(frozen=True)
class KerasSet:
    """A data set of Keras: what it is called, where its cache has it, how it is read there."""

    module: str  # in `keras.datasets`
    title: str
    licence: str
    # Below `datasets` of the cache, with the newest Keras first: any of these sets of files.
    places: tuple[tuple[str, ...], ...]
    # Makes the arrays of `datasets.ARRAYS` of such files, which the SHA-256 must fit.
    read: Callable[[list[Path], str | None], dict[str, np.ndarray]]
    sha256: str | None  # of what `read` says; None if nobody has published one
    class_names: tuple[str, ...] | None = None  # None if `read` has them, or they are numbers
    seconds: float = 300  # the longest wait for a download

    def load(self, seed: int = 0, seconds: float | None = None) -> Dataset:
        """Loads the data set from the Keras cache, or downloads it into the cache.

        Args:
            seed: changes nothing: such a data set is always the same.
            seconds: the longest wait for a download; by default `self.seconds`.

        Returns:
            The data set, uint8 [N, H, W, C].

        Raises:
            UserError: if it is not in the cache and cannot be downloaded, or what is cached is
                damaged. That is then left as it is, where the loader of Keras would delete it.
        """
        cache = paths.keras_home() / "datasets"
        try:
            files = self._find(cache)
            if files is None:
                self._download(cache, self.seconds if seconds is None else seconds)
                files = self._find(cache)
            # The folder, if there are several files.
            origin = files[0] if len(files) == 1 else files[0].parent
            dataset = datasets.from_arrays(origin, self._arrays(files), seed)
        except UserError as error:
            raise UserError(f"{error}\n{_OTHERWISE}") from error
        return dataset._replace(
            name=self.title, origin=f"{self.title}, from {origin}.", licence=self.licence
        )

    def _arrays(self, files: list[Path]) -> dict[str, np.ndarray]:
        try:
            arrays = self.read(files, self.sha256)
        except OtherContentsError as error:
            raise UserError(
                f"{error} does not hold {self.title} as it was published; move it away."
            ) from error
        if self.class_names:
            arrays["class_names"] = np.array(self.class_names)
        return arrays

    def _find(self, cache: Path) -> list[Path] | None:
        """Finds the files of the data set in a cache, if all are there."""
        for names in self.places:
            files = [cache / name for name in names]
            if all(file.exists() for file in files):
                return files
        return None

    def _download(self, cache: Path, seconds: float) -> None:
        """Lets Keras download and check the files in a process that can be stopped."""
        say(
            f"{self.title} is not in the Keras cache; trying to download it (at most {seconds} s) "
            "..."
        )
        code = (
            "import socket, keras; socket.setdefaulttimeout(5); "
            f"keras.datasets.{self.module}.load_data()"
        )
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".downloading-", dir=cache) as home:
                subprocess.run(
                    [sys.executable, "-c", code],
                    env={**os.environ, "KERAS_HOME": home},
                    timeout=seconds,
                    check=True,
                    capture_output=True,
                )
                self._move(Path(home) / "datasets", cache)
        except (OSError, subprocess.SubprocessError) as error:
            raise UserError(
                f"{self.title} is not in the Keras cache and cannot be downloaded."
            ) from error

    def _move(self, downloaded: Path, cache: Path) -> None:
        """Moves the files into the cache, in which none that is there is replaced."""
        files = self._find(downloaded)
        if files is None:
            raise FileNotFoundError(f"{downloaded} lacks the files of {self.title}")
        for file in files:
            place = cache / file.relative_to(downloaded)
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists():
                file.replace(place)


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
                    member.name: load_pickle(members.extractfile(member))
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


class _Dtype:
    """Stands in for `numpy.dtype`: remembers its name alone."""

    def __init__(self, name: Any = None, *_: Any):
        self.name = name.decode("latin-1") if isinstance(name, bytes) else name

    def __setstate__(self, state: Any):
        """Takes byte order and the like, which bytes do not have."""


class _Array:
    """Stands in for an array: remembers its shape and its bytes."""

    def __init__(self, *_: Any):
        self.array = None

    def __setstate__(self, state: tuple):
        _, shape, dtype, is_by_columns, values = state
        if not isinstance(dtype, _Dtype) or dtype.name != "u1" or not isinstance(values, bytes):
            raise pickle.UnpicklingError("holds an array of something else than uint8")
        array = np.frombuffer(values, np.uint8)
        self.array = array.reshape(shape, order="F" if is_by_columns else "C")


_KNOWN = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Finds the stand-in of a name."""
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"names {module}.{name}, which is never called")
        return _KNOWN[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """Refuses what is kept elsewhere."""
        raise pickle.UnpicklingError("refers to something outside")


def load_pickle(file: BinaryIO) -> dict[str, Any]:
    """Reads a dictionary of numbers, texts, lists and arrays of uint8.

    Args:
        file: as Python 2 or 3 has pickled it.

    Returns:
        Its values by name; texts of Python 2 are bytes.

    Raises:
        ValueError: if it is damaged, or holds anything else.
    """
    try:
        contents = _Unpickler(file, encoding="bytes").load()
        return {
            name.decode() if isinstance(name, bytes) else str(name): _without_stand_in(value)
            for name, value in contents.items()
        }
    except Exception as error:  # a stream of nonsense fails in many ways
        raise ValueError(f"no pickle of plain values ({error})") from error


def _without_stand_in(value: Any) -> Any:
    return value.array if isinstance(value, _Array) else value


def _cifar(classes: int, folder: str) -> dict[str, Any]:
    """What CIFAR-10 and CIFAR-100 have in common; older versions of Keras kept other names."""
    return {
        "module": f"cifar{classes}",
        "title": f"CIFAR-{classes}",
        "licence": f"CIFAR-{classes} (A. Krizhevsky, V. Nair, G. Hinton): no licence is stated; "
        "its authors ask to cite Learning Multiple Layers of Features from Tiny Images, 2009",
        "places": ((f"{folder}-target_archive",), (f"{folder}.tar.gz",)),
        "seconds": 1800,  # 170 MB
    }


MNIST = KerasSet(
    module="mnist",
    title="MNIST",
    licence="MNIST (Y. LeCun, C. Cortes, C. J. C. Burges): CC BY-SA 3.0",
    places=(("mnist.npz",),),
    read=read_npz,
    sha256="06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16",
)

FASHION_MNIST = KerasSet(
    module="fashion_mnist",
    title="Fashion-MNIST",
    licence="Fashion-MNIST (H. Xiao, K. Rasul, R. Vollgraf; Zalando SE): MIT",
    places=(tuple(f"fashion-mnist/{name}" for name in IDX_FILES),),
    read=read_idx,
    sha256=None,
    class_names=(
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
        "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
)  # fmt: skip

CIFAR10 = KerasSet(
    **_cifar(10, "cifar-10-batches-py"),
    read=read_cifar10,
    sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
)

CIFAR100 = KerasSet(
    **_cifar(100, "cifar-100-python"),
    read=read_cifar100,
    sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
)

load_mnist, load_fashion_mnist = MNIST.load, FASHION_MNIST.load
load_cifar10, load_cifar100 = CIFAR10.load, CIFAR100.load
