import sys

import numpy as np
import pytest
from folder_helpers import grey

from cvae_tf.core.errors import UserError
from cvae_tf.data.loading import load_dataset

tfds = pytest.importorskip("tensorflow_datasets")
features = tfds.features
IMAGE = {"image": features.Image(shape=(6, 5, 3))}
ANY_SIZE = {"image": features.Image(shape=(None, None, 1))}
LABEL = {"label": features.ClassLabel(num_classes=4)}


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Makes "made" the name of a data set: of each split lists of what `kinds` names."""

    def make(splits, kinds):
        rows = {split: zip(*columns, strict=True) for split, columns in splits.items()}
        builder = tfds.dataset_builders.AdhocBuilder(
            name="made", version="1.2.0", features=features.FeaturesDict(kinds),
            split_datasets={
                split: enumerate(dict(zip(kinds, row, strict=True)) for row in each)
                for split, each in rows.items()
            },
            data_dir=tmp_path, homepage="http://made", disable_shuffling=True,
        )  # fmt: skip
        monkeypatch.setattr(tfds, "builder", lambda name: builder)

    return make


def test_splits_are_read_in_their_order_with_the_labels(made, tmp_path):
    kinds = {**IMAGE, "kind": features.ClassLabel(names=["cup", "car"])}
    train, test, cars = grey(9, 6, 5, 3), grey(3, 6, 5, 3, seed=1), [0, 1, 1, 0, 1, 0, 0, 1, 1]
    splits = {"validation": (test[:1], [0]), "test": (test, [1, 0, 1]), "train": (train, cars)}
    made(splits, kinds)
    dataset = load_dataset("tfds:made")
    np.testing.assert_array_equal(dataset.train.images, train)
    np.testing.assert_array_equal(dataset.test.images, test)
    assert dataset.train.labels.tolist() == cars and dataset.test.labels.tolist() == [1, 0, 1]
    assert dataset.class_names == ("cup", "car")
    assert (dataset.name, dataset.key) == ("made/1.2.0", "tfds:made")
    assert str(tmp_path) in dataset.origin and "http://made" in dataset.licence


def test_of_a_lone_split_a_tenth_is_held_out_and_secret_labels_are_none(made):
    made({"train": (grey(30, 6, 5, 3), [-1] * 30)}, {**IMAGE, **LABEL})
    dataset = load_dataset("tfds:made")
    assert len(dataset.test.images) == 3 and dataset.test.labels is None


@pytest.mark.parametrize(
    ("splits", "kinds", "message"),
    [
        ({"train": ([grey(4, 4, 1), grey(4, 5, 1)],)}, ANY_SIZE, "several sizes; save them"),
        ({"train": ([1],)}, LABEL, "its examples hold no image .label."),
        ({"test": (grey(2, 6, 5, 3),)}, IMAGE, "has no split train, but test"),
        ({"train": (["missing.png"],)}, IMAGE, "cannot be had .Failed"),
    ],
)
def test_what_is_no_set_of_images_is_refused_in_a_line(made, splits, kinds, message):
    made(splits, kinds)
    with pytest.raises(UserError, match=f"--dataset=tfds:made[^\n]*{message}[^\n]*$"):
        load_dataset("tfds:made")


def test_unknown_names_and_a_missing_package_are_told_in_a_line(monkeypatch):
    with pytest.raises(UserError, match="^--dataset=tfds:no_such_data_set: unknown [^\n]*$"):
        load_dataset("tfds:no_such_data_set")
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(UserError, match="^--dataset=tfds:kmnist needs other packages: pip install"):
        load_dataset("tfds:kmnist")
