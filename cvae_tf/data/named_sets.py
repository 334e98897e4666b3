"""Data sets by name: those of Keras and of TensorFlow Datasets, and the bundled digits."""

import contextlib
import dataclasses
import hashlib
import importlib
import itertools
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cvae_tf.core import paths
from cvae_tf.core.errors import UserError
from cvae_tf.core.files import read_npz, try_lock
from cvae_tf.core.tensorflow_setup import quiet_import, usual_settings
from cvae_tf.core.terminal import say
from cvae_tf.data import datasets
from cvae_tf.data.batches import WarpRange, batch_slices, random_transforms, warp
from cvae_tf.data.datasets import Dataset, Split, hold_out, to_uint8
from cvae_tf.data.labels import CLASS_NAMES

_DIGITS_FOR_TRAINING = 1500
_COPIES = 16  # of a digit for training: one as it is, the others warped
_SPREAD_OF_DIGITS = WarpRange(degrees=6.0, scale=0.07, shear=0.1, shift=0.7)
_ENLARGED = 80, 80  # before they are warped: four pixels for each one of the result
_PACKAGES = "tensorflow-datasets importlib_resources"  # the first needs the second
_CATALOGUE = "https://www.tensorflow.org/datasets/catalog/overview"
_SIZES = "has images of several sizes; save them as files and use --data_path=FOLDER"
_LONGEST_REASON = 200  # letters
_SILENCE = 5  # seconds of a network that does not answer
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
    host: str = "storage.googleapis.com"  # from which Keras downloads it
    class_names: tuple[str, ...] | None = None  # None if they are numbers
    seconds: float = 300  # the longest wait for a download

    def load(self, seed: int = 0, seconds: float | None = None) -> Dataset:
        """Loads the data set from the Keras cache, or downloads it into the cache.

        Args:
            seed: not used: such a data set is always the same.
            seconds: the longest wait for a download; by default `self.seconds`.

        Raises:
            UserError: if it cannot be downloaded, or the cached file is damaged (it is kept).
        """
        home = paths.keras_home()
        cache = home / "datasets"
        try:
            cache.mkdir(parents=True, exist_ok=True)
            # Keras looks elsewhere if it may not write here, and unpacks archives anew each time.
            seconds = self.seconds if seconds is None else seconds
            with _locked(home / f"cvae-tf-{self.module}.lock", seconds):
                if not all((cache / name).exists() for name in self.files):
                    self._download(cache, seconds)
                splits = self._read(cache)
        except OSError as error:
            raise UserError(
                f"{self.title} cannot be had: {home} must be a folder that can be written to "
                f"({error.strerror}); KERAS_HOME names another.\n{_OTHERWISE}"
            ) from error
        except UserError as error:
            raise UserError(f"{self.title} cannot be had: {error}\n{_OTHERWISE}") from error
        names = "x_train", "y_train", "x_test", "y_test"
        arrays = dict(zip(names, itertools.chain(*splits), strict=True))
        if self.class_names:
            arrays[CLASS_NAMES] = np.array(self.class_names)
        dataset = datasets.from_arrays(arrays, seed, cache)
        return dataset._replace(
            name=self.title, origin=f"{self.title}, from {cache}.", licence=self.licence
        )

    def _read(self, cache: Path) -> tuple:
        """Lets Keras read the files, but not those that it would delete and download again."""
        for name, sha256 in self.files.items():
            with (cache / name).open("rb") as file:
                if sha256 not in (None, hashlib.file_digest(file, "sha256").hexdigest()):
                    raise UserError(f"{cache / name} is not as it was published; move it away.")
        try:
            with usual_settings():  # with channels last
                return getattr(keras.datasets, self.module).load_data()
        except Exception as error:  # damaged files without a checksum fail in many ways
            raise UserError(
                f"one of {cache}/{', '.join(self.files)} is damaged ({error}); move it away."
            ) from error

    def _download(self, cache: Path, seconds: float) -> None:
        """Lets Keras download and check the files in a process that can be stopped."""
        say(f"{self.title} is not in {cache}; trying to download it (at most {seconds} s) ...")
        code = f"import keras, socket; socket.setdefaulttimeout({_SILENCE}); "
        code += f"keras.datasets.{self.module}.load_data()"
        try:
            if not urllib.request.getproxies():  # without a network, Keras would need seconds
                socket.create_connection((self.host, 443), _SILENCE).close()
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


@contextlib.contextmanager
def _locked(path: Path, seconds: float) -> Iterator[None]:
    """Within it, no other process has this file locked; waits a while for one that has."""
    end = time.monotonic() + seconds
    with path.open("w") as lock:
        while not try_lock(lock):
            if time.monotonic() > end:
                raise UserError(f"another process has held {path} for {seconds} s.")
            time.sleep(0.1)
        yield


def _cifar(classes: int, folder: str, sha256: str, names: str) -> KerasSet:
    return KerasSet(
        module=f"cifar{classes}",
        title=f"CIFAR-{classes}",
        licence=f"CIFAR-{classes} (A. Krizhevsky, V. Nair, G. Hinton): no licence is stated; "
        "its authors ask to cite Learning Multiple Layers of Features from Tiny Images, 2009",
        files={f"{folder}-target_archive": sha256},
        host="www.cs.toronto.edu",
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


def load_tfds(name: str, seed: int = 0) -> Dataset:
    """Loads a data set of TensorFlow Datasets, which downloads it if needed.

    Args:
        name: as TensorFlow Datasets knows it, such as "kmnist" or "emnist/letters".
        seed: decides which tenth is held out if there are only training images.

    Raises:
        UserError: if the package or the data set cannot be had, or its images have several sizes.
    """
    where = f"--dataset=tfds:{name}"
    try:
        with quiet_import():
            tfds = importlib.import_module("tensorflow_datasets")
    except ImportError as error:
        raise UserError(f"{where} needs other packages: pip install {_PACKAGES}") from error
    builder, features = _prepare_tfds(tfds, name, where)
    info, there = builder.info, list(builder.info.splits)
    if "train" not in there:
        raise UserError(f"{where}: has no split train, but {', '.join(there)}.")
    parts = ["train", *[part for part in ("test", "validation") if part in there][:1]]
    splits = [_read_split(tfds, builder, part, features, where) for part in parts]
    train, test = splits if len(splits) == 2 else hold_out(splits[0], seed, where)
    if train.images.shape[1:] != test.images.shape[1:]:
        raise UserError(f"{where}: {_SIZES}.")
    licence = _in_a_line(info.redistribution_info.license) or "as its authors state it"
    is_labelled = train.labels is not None or test.labels is not None
    class_names = tuple(info.features[features[1]].names) if is_labelled else ()
    are_numbers = class_names == tuple(map(str, range(len(class_names))))
    return Dataset(
        name=info.full_name,
        origin=f"TensorFlow Datasets, from {builder.data_dir}.",
        train=train,
        test=test,
        licence=f"that of {info.full_name}: {licence}, {info.homepage}",
        class_names=None if are_numbers else class_names,
    )


def _prepare_tfds(tfds: Any, name: str, where: str) -> tuple[Any, tuple[str, str | None]]:
    """Finds a data set, downloads it if it is missing, and names its images and labels."""
    try:
        builder = tfds.builder(name)
        features = _names_of_features(tfds, builder.info, where)
        if not builder.data_path.exists():
            say(
                f"{builder.info.full_name} is not in {builder.data_dir}; trying to download it "
                "(without a network this gives up after some minutes) ..."
            )
        builder.download_and_prepare()
    except UserError:
        raise
    except tfds.core.DatasetNotFoundError as error:
        raise UserError(f"{where}: unknown to TensorFlow Datasets; see {_CATALOGUE}.") from error
    except Exception as error:  # each data set has code of its own
        reason = _in_a_line(error) or type(error).__name__
        raise UserError(f"{where} cannot be had ({reason}). {_OTHERWISE}") from error
    return builder, features


def _names_of_features(tfds: Any, info: Any, where: str) -> tuple[str, str | None]:
    """The feature names of the image in each example, and of its label if there is one."""
    kinds = dict(info.features.items())
    preferred = [key for key in (*(info.supervised_keys or ()), "image", "label") if key in kinds]
    images, labels = (
        [key for key in (*preferred, *kinds) if isinstance(kinds[key], kind)]
        for kind in (tfds.features.Image, tfds.features.ClassLabel)
    )
    if not images:
        raise UserError(f"{where}: its examples hold no image ({', '.join(kinds)}).")
    return images[0], next(iter(labels), None)


def _read_split(
    tfds: Any, builder: Any, part: str, names: tuple[str, str | None], where: str
) -> Split:
    """Reads a split in the order of its files."""
    image, label = names
    examples = builder.as_dataset(
        split=part,
        shuffle_files=False,
        decoders=tfds.decode.PartialDecoding({name: True for name in names if name}),
        # One file after the other, so that the order is always the same.
        read_config=tfds.ReadConfig(interleave_cycle_length=1),
    )
    try:  # all in one batch
        arrays = next(iter(tfds.as_numpy(examples.batch(builder.info.splits[part].num_examples))))
    except Exception as error:
        raise UserError(f"{where}: {_SIZES} ({_in_a_line(error)}).") from error
    labels = arrays[label].astype(np.int64) if label else np.array([-1])
    # Some have -1 for labels that are kept secret.
    known = None if labels.min(initial=0) < 0 else labels
    return Split(to_uint8(arrays[image], f"{where}: {part}"), known)


def _in_a_line(message: Any) -> str:
    """The first line of a message that may have many."""
    return str(message or "").strip().partition("\n")[0][:_LONGEST_REASON]


def load_digits(seed: int = 0) -> Dataset:
    """Loads 24,000 variations of digits for training, and 297 originals of others for testing.

    They are scans of 8 x 8 pixels, enlarged and varied into images like those of MNIST: the test
    part of "Optical Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak, UCI Machine
    Learning Repository, CC BY 4.0).

    Args:
        seed: decides the variations.
    """
    scans = read_npz(Path(__file__).with_name("digits.npz"), ("images", "labels"))
    labels, cut = scans["labels"], _DIGITS_FOR_TRAINING
    grey = tf.constant(scans["images"][..., np.newaxis] / 16, tf.float32)
    spreads = [WarpRange(), *[_SPREAD_OF_DIGITS] * (_COPIES - 1)]
    return Dataset(
        name="bundled digits",
        origin="The bundled digits (UCI, 1,797 scans).",
        train=Split(_vary_digits(grey[:cut], spreads, seed), np.tile(labels[:cut], _COPIES)),
        test=Split(_vary_digits(grey[cut:], spreads[:1], seed), labels[cut:]),
        licence="Optical Recognition of Handwritten Digits (E. Alpaydin, C. Kaynak, UCI): "
        "CC BY 4.0",
    )


def _vary_digits(grey: tf.Tensor, spreads: list[WarpRange], seed: int) -> np.ndarray:
    """Makes copies of digits of 8 x 8 into ones of 20 x 20 centred in 28 x 28, as MNIST has them.

    The copies [C * N, 28, 28, 1] are made some at a time: TensorFlow keeps the memory it has used.
    """
    transforms = [
        random_transforms(len(grey), [seed, copy], spread, _ENLARGED, (20, 20))
        for copy, spread in enumerate(spreads)
    ]
    varied = np.empty((len(spreads), len(grey), 28, 28, 1), np.uint8)
    for own in batch_slices(len(grey), (28, 28)):
        smooth = tf.image.resize(grey[own], _ENLARGED, "bicubic")
        for copy, each in enumerate(transforms):
            warped = warp(smooth, each[own], (28, 28))
            varied[copy, own] = np.rint(np.clip(warped, 0, 1) * 255)
    return varied.reshape(-1, 28, 28, 1)
