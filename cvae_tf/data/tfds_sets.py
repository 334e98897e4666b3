"""The image data sets of TensorFlow Datasets, by `tfds:NAME`, if that package is installed."""

import importlib
from typing import Any

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.core.tensorflow_setup import quiet_import
from cvae_tf.core.terminal import say
from cvae_tf.data.datasets import Dataset, Split, hold_out, to_uint8

_PACKAGES = "tensorflow-datasets importlib_resources"  # the first forgets to ask for the second
_LONGEST_REASON = 200  # letters
_TEST_SPLITS = ("test", "validation")  # the first that there is


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
    tfds, where = _package(name), f"--dataset=tfds:{name}"
    builder = _builder(tfds, name, where)
    features = _features(tfds, builder.info, where)
    _prepare(builder, where)
    parts = _wanted_splits(list(builder.info.splits), where)
    train, *others = [_read(tfds, builder, part, features, where) for part in parts]
    train, test = (train, others[0]) if others else hold_out(train, seed, where)
    if train.images.shape[1:] != test.images.shape[1:]:
        raise UserError(_sizes(where, train.images.shape[1:], test.images.shape[1:]))
    is_labelled = train.labels is not None or test.labels is not None
    return Dataset(
        name=builder.info.full_name,
        origin=f"TensorFlow Datasets, from {builder.data_dir}.",
        train=train,
        test=test,
        licence=_licence(builder.info),
        class_names=_class_names(builder.info, features[1]) if is_labelled else None,
    )


def _package(name: str) -> Any:
    try:
        with quiet_import():
            return importlib.import_module("tensorflow_datasets")
    except ImportError as error:
        raise UserError(
            f"--dataset=tfds:{name} needs other packages: pip install {_PACKAGES}"
        ) from error


def _builder(tfds: Any, name: str, where: str) -> Any:
    try:
        return tfds.builder(name)
    except tfds.core.DatasetNotFoundError as error:
        raise UserError(
            f"{where}: unknown to TensorFlow Datasets; all names are listed at "
            "https://www.tensorflow.org/datasets/catalog/overview."
        ) from error
    except Exception as error:  # a name of another form, a version that is not there, no network
        raise UserError(f"{where}: cannot be had ({_in_a_line(error)}).") from error


def _features(tfds: Any, info: Any, where: str) -> tuple[str, str | None]:
    """The names of the one image in each example, and of its label if there is one."""
    kinds = dict(info.features.items()) if hasattr(info.features, "items") else {}
    keys = info.supervised_keys or ()
    preferred = [key for key in (*keys, "image", "label") if isinstance(key, str)]
    order = [*[key for key in preferred if key in kinds], *kinds]  # each name may be in it twice
    images = [key for key in order if isinstance(kinds[key], tfds.features.Image)]
    labels = [key for key in order if isinstance(kinds[key], tfds.features.ClassLabel)]
    if not images:
        found = ", ".join(kinds) or "no features with names"
        raise UserError(f"{where}: its examples hold no image ({found}).")
    return images[0], next(iter(labels), None)


def _class_names(info: Any, label: str) -> tuple[str, ...] | None:
    """The names of the classes; None if they are nothing but their numbers."""
    names = tuple(info.features[label].names or ())
    return None if names == tuple(map(str, range(len(names)))) else names


def _prepare(builder: Any, where: str) -> None:
    """Downloads the data set, if it is not there."""
    if not builder.data_path.exists():
        say(
            f"{builder.info.full_name} is not in {builder.data_dir}; trying to download it "
            "(without a network this gives up after some minutes) ..."
        )
    try:
        builder.download_and_prepare()
    except ImportError as error:  # some need packages of their own
        raise UserError(f"{where} needs another package: {error}.") from error
    except Exception as error:  # every data set has a program of its own
        raise UserError(
            f"{where} is not in {builder.data_dir} and cannot be downloaded "
            f"({_in_a_line(error)}). Use --data_path=... for a copy of yours."
        ) from error


def _wanted_splits(there: list[str], where: str) -> list[str]:
    if "train" not in there:
        raise UserError(f"{where}: has no split train, but {', '.join(there) or 'none at all'}.")
    return ["train", *[name for name in _TEST_SPLITS if name in there][:1]]


def _read(tfds: Any, builder: Any, part: str, names: tuple[str, str | None], where: str) -> Split:
    """Reads a split in the order of its files."""
    image_name, label_name = names
    # One file after the other, so that the order is always the same.
    config = tfds.ReadConfig(interleave_cycle_length=1)
    examples = builder.as_dataset(split=part, shuffle_files=False, read_config=config)
    memory, labels, shape, dtype = bytearray(), [], None, None
    for example in tfds.as_numpy(examples):
        image = example[image_name]
        shape, dtype = shape or image.shape, dtype or image.dtype
        if image.shape != shape:
            raise UserError(_sizes(where, shape, image.shape))
        memory += np.ascontiguousarray(image).data
        labels.append(example[label_name] if label_name else 0)
    if shape is None:
        raise UserError(f"{where}: its split {part} is empty.")
    images = to_uint8(np.frombuffer(memory, dtype).reshape(-1, *shape), f"{where}: {part}")
    known = np.array(labels, np.int64)
    # Some have -1 for labels that are kept secret.
    is_labelled = label_name is not None and known.min() >= 0
    return Split(images, known if is_labelled else None)


def _sizes(where: str, one: tuple[int, ...], other: tuple[int, ...]) -> str:
    return (
        f"{where}: has images of several sizes ({' x '.join(map(str, one))}, "
        f"{' x '.join(map(str, other))}); save them as files and use --data_path=FOLDER."
    )


def _licence(info: Any) -> str:
    """The licence as far as it is known, and whom to cite."""
    licence = info.redistribution_info.license.strip()
    parts = [_in_a_line(licence) if licence else "as its authors state it"]
    if info.homepage:
        parts.append(info.homepage)
    return f"that of {info.full_name}: {', '.join(parts)}"


def _in_a_line(error: Any) -> str:
    """The first line of a message that may have many."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:_LONGEST_REASON]
