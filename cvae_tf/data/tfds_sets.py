"""The image data sets of TensorFlow Datasets, by `tfds:NAME`, if that package is installed."""

import importlib
from typing import Any

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.core.tensorflow_setup import quiet_import
from cvae_tf.core.terminal import say
from cvae_tf.data.datasets import Dataset, Split, hold_out, to_uint8

_PACKAGES = "tensorflow-datasets importlib_resources"  # the first forgets to ask for the second
_CATALOGUE = "https://www.tensorflow.org/datasets/catalog/overview"
_SIZES = "has images of several sizes; save them as files and use --data_path=FOLDER"
_LONGEST_REASON = 200  # letters


def load(name: str, seed: int = 0) -> Dataset:
    """Loads a data set, which TensorFlow Datasets downloads if it does not have it yet.

    Args:
        name: as TensorFlow Datasets knows it, such as "kmnist" or "emnist/letters".
        seed: decides which tenth is held out if there is nothing but images for training.

    Returns:
        The data set, uint8 [N, H, W, C], with labels and names of classes if it has any.

    Raises:
        UserError: if the package is missing or does not know the name, or the data set cannot be
            downloaded, or holds no images of one size.
    """
    where = f"--dataset=tfds:{name}"
    try:
        with quiet_import():
            tfds = importlib.import_module("tensorflow_datasets")
    except ImportError as error:
        raise UserError(f"{where} needs other packages: pip install {_PACKAGES}") from error
    builder, features = _prepare(tfds, name, where)
    there = list(builder.info.splits)
    if "train" not in there:
        raise UserError(f"{where}: has no split train, but {', '.join(there) or 'none at all'}.")
    parts = ["train", *[part for part in ("test", "validation") if part in there][:1]]
    splits = [_read(tfds, builder, part, features, where) for part in parts]
    train, test = splits if len(splits) == 2 else hold_out(splits[0], seed, where)
    if train.images.shape[1:] != test.images.shape[1:]:
        raise UserError(f"{where}: {_SIZES}.")
    info, licence = builder.info, _in_a_line(builder.info.redistribution_info.license)
    is_labelled = train.labels is not None or test.labels is not None
    class_names = tuple(info.features[features[1]].names or ()) if is_labelled else ()
    are_numbers = class_names == tuple(map(str, range(len(class_names))))
    return Dataset(
        name=info.full_name,
        origin=f"TensorFlow Datasets, from {builder.data_dir}.",
        train=train,
        test=test,
        licence=f"that of {info.full_name}: {licence or 'as its authors state it'}, "
        f"{info.homepage}",
        class_names=None if are_numbers else class_names,
    )


def _prepare(tfds: Any, name: str, where: str) -> tuple[Any, tuple[str, str | None]]:
    """Finds a data set, downloads it if it is not there, and names its images and labels."""
    try:
        builder = tfds.builder(name)
        features = _features(tfds, builder.info, where)
        if not builder.data_path.exists():
            say(
                f"{builder.info.full_name} is not in {builder.data_dir}; trying to download it "
                "(without a network this gives up after some minutes) ..."
            )
        builder.download_and_prepare()
    except UserError:
        raise
    except tfds.core.DatasetNotFoundError as error:
        raise UserError(
            f"{where}: unknown to TensorFlow Datasets; all names are listed at {_CATALOGUE}."
        ) from error
    except Exception as error:  # every data set has a program of its own
        raise UserError(
            f"{where} cannot be had ({_in_a_line(error) or type(error).__name__}). Use "
            "--data_path=... for a copy of yours."
        ) from error
    return builder, features


def _features(tfds: Any, info: Any, where: str) -> tuple[str, str | None]:
    """The names of the one image in each example, and of its label if there is one."""
    kinds = dict(info.features.items())
    preferred = [key for key in (*(info.supervised_keys or ()), "image", "label") if key in kinds]
    images, labels = (
        [key for key in (*preferred, *kinds) if isinstance(kinds[key], kind)]
        for kind in (tfds.features.Image, tfds.features.ClassLabel)
    )
    if not images:
        raise UserError(f"{where}: its examples hold no image ({', '.join(kinds)}).")
    return images[0], next(iter(labels), None)


def _read(tfds: Any, builder: Any, part: str, names: tuple[str, str | None], where: str) -> Split:
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
