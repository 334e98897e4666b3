import sys
from unittest.mock import Mock

import numpy as np
import pytest
from folder_helpers import grey

from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import load_dataset

tfds = pytest.importorskip("tensorflow_datasets")
features = tfds.features
IMAGE = {"image": features.Image(shape=(6, 5, 3))}
ANY_SIZE = {"image": features.Image(shape=(None, None, 1))}
LABEL = {"label": features.ClassLabel(num_classes=4)}


class _Made(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A data set of `splits`: lists of what `kinds` names, by split."""

    VERSION = tfds.core.Version("1.2.0")
    splits, kinds, keys = {}, IMAGE, None

    def _info(self):
        kinds = features.FeaturesDict(self.kinds)
        return tfds.core.DatasetInfo(builder=self, features=kinds, supervised_keys=self.keys,
                                     homepage="http://made", disable_shuffling=True)  # fmt: skip

    def _split_generators(self, _):
        return {name: self._generate_examples(*split) for name, split in self.splits.items()}

    def _generate_examples(self, *columns):
        for number, values in enumerate(zip(*columns, strict=True)):
            yield number, dict(zip(self.kinds, values, strict=True))


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Makes "made" the name of a data set."""

    def make(splits, **more):
        attributes = {"splits": splits, "__module__": __name__, **more}
        kind = type("Made", (_Made,), attributes, skip_registration=True)
        monkeypatch.setattr(tfds, "builder", lambda name: kind(data_dir=tmp_path))

    return make


def test_splits_are_read_in_their_order_with_the_supervised_labels(made, tmp_path):
    kinds = {**LABEL, **IMAGE, "kind": features.ClassLabel(names=["cup", "car"])}
    train, test = grey(9, 6, 5, 3), grey(3, 6, 5, 3, seed=1)
    cars = [0, 1, 1, 0, 1, 0, 0, 1, 1]
    splits = {"test": ([1, 2, 1], test, [1, 0, 1]), "train": (cars, train, cars)}
    made({**splits, "validation": ([1], test[:1], [0])}, kinds=kinds, keys=("image", "kind"))
    dataset = load_dataset("tfds:made")
    np.testing.assert_array_equal(dataset.train.images, train)
    np.testing.assert_array_equal(dataset.test.images, test)
    assert dataset.train.labels.tolist() == cars and dataset.test.labels.tolist() == [1, 0, 1]
    assert dataset.class_names == ("cup", "car")
    assert (dataset.name, dataset.key) == ("made/1.2.0", "tfds:made")
    assert str(tmp_path) in dataset.origin and "http://made" in dataset.licence


def test_of_a_lone_split_the_seed_holds_a_tenth_out_and_secret_labels_are_none(made):
    made({"train": (grey(30, 6, 5, 3), [-1] * 30)}, kinds={**IMAGE, **LABEL})
    first, again, other = (load_dataset("tfds:made", seed=seed).test for seed in (0, 0, 1))
    assert first.images.shape == (3, 6, 5, 3) and first.labels is None
    np.testing.assert_array_equal(first.images, again.images)
    assert np.any(first.images != other.images)


@pytest.mark.parametrize(
    ("splits", "more", "message"),
    [
        ({"train": ([grey(4, 4, 1), grey(4, 5, 1)],)}, {"kinds": ANY_SIZE}, "several sizes .4 x 4"),
        ({"train": ([1],)}, {"kinds": LABEL}, "its examples hold no image .label."),
        ({"test": (grey(2, 6, 5, 3),)}, {}, "has no split train, but test"),
        ({}, {"_split_generators": Mock(side_effect=OSError("no way\nat all"))}, "not in .*no way"),
    ],
)
def test_what_is_no_set_of_images_is_refused_in_a_line(made, splits, more, message):
    made(splits, **more)
    with pytest.raises(UserError, match=f"--dataset=tfds:made[^\n]*{message}[^\n]*$"):
        load_dataset("tfds:made")


def test_unknown_names_are_refused_in_a_line():
    for name in ("no_such_data_set", "../etc"):
        with pytest.raises(UserError, match=f"^--dataset=tfds:{name}: [^\n]*$"):
            load_dataset(f"tfds:{name}")


def test_without_the_package_its_name_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(UserError, match="^--dataset=tfds:kmnist needs other packages: pip install"):
        load_dataset("tfds:kmnist")
