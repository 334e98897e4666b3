"""The data sets that Keras loads, by name: from its cache, or by a download into it."""

import contextlib
import dataclasses
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TextIO

import keras
import numpy as np

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

from cvae_tf.core import paths
from cvae_tf.core.errors import UserError
from cvae_tf.core.tensorflow_setup import usual_settings
from cvae_tf.core.terminal import say
from cvae_tf.data import datasets
from cvae_tf.data.datasets import Dataset
from cvae_tf.data.labels import CLASS_NAMES

_OTHERWISE = "Use --data_path=FILE.npz for a copy of yours, or --dataset=digits."
_CLASSES_OF_CIFAR100 = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
    butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab
    crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard
    lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
    oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
    possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
    spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
    train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""


@dataclasses.dataclass(frozen=True)
class KerasSet:
    """A data set of Keras: what it is called, and where the cache has it."""

    module: str  # in `keras.datasets`
    title: str
    licence: str
    # Below `datasets` of the cache, with the SHA-256 by which Keras knows them, if it knows one.
    files: dict[str, str | None]
    class_names: tuple[str, ...] | None = None  # None if they are numbers
    seconds: float = 300  # the longest wait for a download

    def load(self, seed: int = 0, seconds: float | None = None) -> Dataset:
        """Loads the data set from the Keras cache, or downloads it into the cache.

        Args:
            seed: changes nothing: such a data set is always the same.
            seconds: the longest wait for a download; by default `self.seconds`.

        Raises:
            UserError: if it is not in the cache and cannot be downloaded, or what is cached is
                damaged. That is then left as it is.
        """
        home = paths.keras_home()
        cache = home / "datasets"
        try:
            cache.mkdir(parents=True, exist_ok=True)
            # Keras looks elsewhere if it may not write here, and unpacks archives anew each time.
            with (home / "cvae-tf.lock").open("w") as lock:
                _wait_for_others(lock)
                if not all((cache / name).exists() for name in self.files):
                    self._download(cache, self.seconds if seconds is None else seconds)
                self._check(cache)
                (x_train, y_train), (x_test, y_test) = self._read(cache)
        except (OSError, UserError) as error:
            raise UserError(f"{self.title} cannot be had: {error}\n{_OTHERWISE}") from error
        arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
        if self.class_names:
            arrays[CLASS_NAMES] = np.array(self.class_names)
        dataset = datasets.from_arrays(cache, arrays, seed)
        return dataset._replace(
            name=self.title, origin=f"{self.title}, from {cache}.", licence=self.licence
        )

    def _check(self, cache: Path) -> None:
        """Refuses files that Keras would delete, and then download without a bound."""
        for name, sha256 in self.files.items():
            with (cache / name).open("rb") as file:
                if sha256 not in (None, hashlib.file_digest(file, "sha256").hexdigest()):
                    raise UserError(f"{cache / name} is not as it was published; move it away.")

    def _read(self, cache: Path) -> tuple:
        try:
            with usual_settings():  # in which channels come last
                return getattr(keras.datasets, self.module).load_data()
        except Exception as error:  # damaged files without a sum fail in many ways
            raise UserError(
                f"one of {cache}/{', '.join(self.files)} is damaged ({error}); move it away."
            ) from error

    def _download(self, cache: Path, seconds: float) -> None:
        """Lets Keras download and check the files in a process that can be stopped."""
        say(f"{self.title} is not in {cache}; trying to download it (at most {seconds} s) ...")
        code = "import keras, socket; socket.setdefaulttimeout(5); "  # of a network that is silent
        code += f"keras.datasets.{self.module}.load_data()"
        try:
            with tempfile.TemporaryDirectory(prefix=".downloading-", dir=cache) as home:
                subprocess.run(
                    [sys.executable, "-c", code],
                    env={**os.environ, "KERAS_HOME": home},
                    timeout=seconds,
                    check=True,
                    capture_output=True,
                )
                for name in self.files:
                    (cache / name).parent.mkdir(exist_ok=True)
                    (Path(home) / "datasets" / name).replace(cache / name)
        except (OSError, subprocess.SubprocessError) as error:
            raise UserError("it is not in the Keras cache, and cannot be downloaded.") from error


def _wait_for_others(lock: TextIO) -> None:
    """Waits until no other process holds the lock, and holds it until its file is closed."""
    with contextlib.suppress(OSError, AttributeError):  # a system without such locks
        fcntl.flock(lock, fcntl.LOCK_EX)


def _cifar(classes: int, folder: str, sha256: str, names: str) -> KerasSet:
    return KerasSet(
        module=f"cifar{classes}",
        title=f"CIFAR-{classes}",
        licence=f"CIFAR-{classes} (A. Krizhevsky, V. Nair, G. Hinton): no licence is stated; "
        "its authors ask to cite Learning Multiple Layers of Features from Tiny Images, 2009",
        files={f"{folder}-target_archive": sha256},
        class_names=tuple(names.split()),
        seconds=1800,  # 170 MB
    )


MNIST = KerasSet(
    module="mnist",
    title="MNIST",
    licence="MNIST (Y. LeCun, C. Cortes, C. J. C. Burges): CC BY-SA 3.0",
    files={"mnist.npz": "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"},
)

FASHION_MNIST = KerasSet(
    module="fashion_mnist",
    title="Fashion-MNIST",
    licence="Fashion-MNIST (H. Xiao, K. Rasul, R. Vollgraf; Zalando SE): MIT",
    files={
        f"fashion-mnist/{part}-ubyte.gz": None
        for purpose in ("train", "t10k")
        for part in (f"{purpose}-images-idx3", f"{purpose}-labels-idx1")
    },
    class_names=(
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
        "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
)  # fmt: skip

CIFAR10 = _cifar(
    10,
    "cifar-10-batches-py",
    "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    "airplane automobile bird cat deer dog frog horse ship truck",
)

CIFAR100 = _cifar(
    100,
    "cifar-100-python",
    "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
    _CLASSES_OF_CIFAR100,
)
