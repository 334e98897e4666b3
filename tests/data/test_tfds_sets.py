import numpy as np
import pytest
from folder_helpers import grey

from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import fingerprint, load_again, load_dataset

tfds = pytest.importorskip("tensorflow_datasets")
features = tfds.features


class _Made(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A data set of `splits`, prepared as all are: lists of what `kinds` names, by split."""

    VERSION = tfds.core.Version("1.2.0")
    splits = {}
    kinds = {}
    keys = None

    def _info(self):
        kinds = features.FeaturesDict(self.kinds)
        return tfds.core.DatasetInfo(builder=self, features=kinds, supervised_keys=self.keys,
                                     homepage="http://made", disable_shuffling=True)  # fmt: skip

    def _split_generators(self, _):
        return {name: self._generate_examples(*split) for name, split in self.splits.items()}

    def _generate_examples(self, *columns):
        for number, values in enumerate(zip(*columns, strict=True)):
            yield number, dict(zip(self.kinds, values, strict=True))


IMAGE = {"image": features.Image(shape=(6, 5, 3))}
ANY_SIZE = {"image": features.Image(shape=(None, None, 1))}
DEEP = {"image": features.Image(shape=(4, 4, 1), dtype=np.uint16)}


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Makes "made" the name of a data set."""

    def make(splits, kinds=IMAGE, **more):
        attributes = {"splits": splits, "kinds": kinds, "__module__": __name__, **more}
        kind = type("Made", (_Made,), attributes, skip_registration=True)
        monkeypatch.setattr(tfds, "builder", lambda name: kind(data_dir=tmp_path))

    return make


def test_splits_are_read_in_their_order_with_the_supervised_labels(made, tmp_path):
    kinds = {"angle": features.ClassLabel(num_classes=9), **IMAGE,
             "kind": features.ClassLabel(names=["cup", "car"])}  # fmt: skip
    train, test = grey(9, 6, 5, 3), grey(3, 6, 5, 3, seed=1)
    cars = [0, 1, 1, 0, 1, 0, 0, 1, 1]
    others = ([1], test[:1], [0])
    splits = {"extra": others, "test": ([7, 8, 7], test, [1, 0, 1]), "train": (cars, train, cars),
              "validation": others}  # fmt: skip
    made(splits, kinds, keys=("image", "kind"))
    dataset = load_dataset("tfds:made")
    np.testing.assert_array_equal(dataset.train.images, train)
    np.testing.assert_array_equal(dataset.test.images, test)
    assert dataset.train.labels.tolist() == cars and dataset.test.labels.tolist() == [1, 0, 1]
    assert dataset.train.labels.dtype == np.int64 and dataset.class_names == ("cup", "car")
    assert (dataset.name, dataset.key) == ("made/1.2.0", "tfds:made")
    assert str(tmp_path) in dataset.origin and "http://made" in dataset.licence
    again = load_again({"name": "made/1.2.0", "key": "tfds:made"}, None, 0)
    assert fingerprint(again) == fingerprint(dataset)


def test_validation_takes_the_place_of_a_test_and_secret_labels_are_none(made):
    kinds = {**IMAGE, "label": features.ClassLabel(num_classes=4)}
    made({"validation": (grey(3, 6, 5, 3), [-1] * 3), "train": (grey(2, 6, 5, 3), [3, 0])}, kinds)
    dataset = load_dataset("tfds:made")
    assert len(dataset.test.images) == 3 and dataset.test.labels is None
    assert dataset.train.labels.tolist() == [3, 0] and dataset.class_names is None  # numbers alone


def test_of_a_lone_split_the_seed_holds_a_tenth_out(made):
    images = np.arange(30, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 6, 5, 3), np.uint8)
    made({"train": (images,)})
    held_out = [load_dataset("tfds:made", seed=seed).test for seed in (0, 0, 1)]
    numbers = [split.images[:, 0, 0, 0].tolist() for split in held_out]
    assert len(numbers[0]) == 3 and numbers[0] == numbers[1] != numbers[2]
    assert held_out[0].labels is None


@pytest.mark.parametrize(
    ("splits", "kinds", "message"),
    [
        ({"train": ([grey(4, 4, 1), grey(4, 5, 1)],)}, ANY_SIZE,
         "has images of several sizes .4 x 4 x 1, 4 x 5 x 1.*--data_path=FOLDER"),
        ({"train": ([grey(4, 4, 1)],), "test": ([grey(5, 4, 1)],)}, ANY_SIZE, "several sizes"),
        ({"train": ([1],)}, {"label": features.ClassLabel(num_classes=9)}, "hold no image .label."),
        ({"test": (grey(2, 4, 4, 1),)}, ANY_SIZE, "has no split train, but test"),
        ({"train": (grey(1, 4, 4, 1),)}, ANY_SIZE, "at least 2"),
        ({"train": (np.full((2, 4, 4, 1), 999, np.uint16),)}, DEEP, "they must lie in 0 to 255"),
    ],
)  # fmt: skip
def test_what_is_no_set_of_images_is_refused_in_a_line(made, splits, kinds, message):
    made(splits, kinds)
    with pytest.raises(UserError, match=f"--dataset=tfds:made[^\n]*{message}[^\n]*$"):
        load_dataset("tfds:made")


@pytest.mark.parametrize("fault", [OSError("no way there\nat all"), ImportError("No module 'x'")])
def test_failed_downloads_are_refused_in_a_line(made, fault):
    def fail(self, _):
        raise fault

    made({}, _split_generators=fail)
    with pytest.raises(UserError, match="tfds:made (is not in [^\n]*no way|needs another)[^\n]*$"):
        load_dataset("tfds:made")


@pytest.mark.parametrize("name", ["no_such_data_set", "kmnist/no_such", "../etc", "kmnist:1"])
def test_unknown_names_are_refused_in_a_line(name):
    with pytest.raises(UserError, match=f"^--dataset=tfds:{name}: [^\n]*$"):
        load_dataset(f"tfds:{name}")
