"""The data sets that Keras loads, by name: from its cache, or by a download into it."""

import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cvae_tf.core import paths
from cvae_tf.core.errors import UserError
from cvae_tf.core.messages import say
from cvae_tf.data import datasets, keras_files
from cvae_tf.data.datasets import Dataset

_OTHERWISE = "Use --data_path=FILE.npz for a copy of yours, or --dataset=digits."


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
        except keras_files.OtherContentsError as error:
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
    read=keras_files.read_npz,
    sha256="06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16",
)

FASHION_MNIST = KerasSet(
    module="fashion_mnist",
    title="Fashion-MNIST",
    licence="Fashion-MNIST (H. Xiao, K. Rasul, R. Vollgraf; Zalando SE): MIT",
    places=(tuple(f"fashion-mnist/{name}" for name in keras_files.IDX_FILES),),
    read=keras_files.read_idx,
    sha256=None,
    class_names=(
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
        "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
)  # fmt: skip

CIFAR10 = KerasSet(
    **_cifar(10, "cifar-10-batches-py"),
    read=keras_files.read_cifar10,
    sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
)

CIFAR100 = KerasSet(
    **_cifar(100, "cifar-100-python"),
    read=keras_files.read_cifar100,
    sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
)

load_mnist, load_fashion_mnist = MNIST.load, FASHION_MNIST.load
load_cifar10, load_cifar100 = CIFAR10.load, CIFAR100.load
