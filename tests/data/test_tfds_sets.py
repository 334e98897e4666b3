import numpy as np
import pytest

from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import fingerprint, load_again, load_dataset

tfds = pytest.importorskip("tensorflow_datasets")
features = tfds.features


def _grey(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@pytest.fixture(autouse=True)
def data_dir(tmp_path, monkeypatch):
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(tmp_path))
    return tmp_path


# With the mock data of the package


@pytest.fixture
def kmnist(data_dir):
    """Random images in place of KMNIST's, whose description is the true one."""
    builder = tfds.builder("kmnist", data_dir=data_dir)
    template = tfds.core.ShardedFileTemplate(
        data_dir=data_dir, dataset_name="kmnist", filetype_suffix="tfrecord"
    )
    splits = [
        tfds.core.SplitInfo(
            name=name, shard_lengths=[20], num_bytes=0,
            filename_template=template.replace(split=name),
        )
        for name in ("train", "test")
    ]  # fmt: skip
    builder.info.set_splits(tfds.core.splits.SplitDict(splits))
    builder.data_path.mkdir(parents=True)
    builder.info.write_to_directory(builder.data_path)
    with tfds.testing.mock_data(num_examples=20, data_dir=data_dir):
        yield


def test_mock_data_of_a_known_set_become_a_data_set(kmnist, data_dir):
    dataset = load_dataset("tfds:kmnist")
    assert (dataset.name, dataset.key) == ("kmnist/3.0.1", "tfds:kmnist")
    assert dataset.train.images.shape == dataset.test.images.shape == (20, 28, 28, 1)
    assert dataset.train.images.dtype == np.uint8 and dataset.train.images.std() > 50
    assert dataset.train.labels.dtype == np.int64
    assert dataset.class_names == ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
    assert str(data_dir) in dataset.origin and "codh.rois.ac.jp" in dataset.licence
    again = load_again({"name": "kmnist/3.0.1", "key": "tfds:kmnist"}, None, 0)
    assert fingerprint(again) == fingerprint(dataset)


# With data sets of ours, which are prepared as all are


class _Made(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A data set of `splits`: images and labels by the name of the split."""

    VERSION = tfds.core.Version("1.2.0")
    splits = {}
    kinds = {}
    keys = None

    def _info(self):
        kinds = features.FeaturesDict(self.kinds)
        return tfds.core.DatasetInfo(
            builder=self, features=kinds, supervised_keys=self.keys, disable_shuffling=True
        )

    def _split_generators(self, _):
        return {name: self._generate_examples(*split) for name, split in self.splits.items()}

    def _generate_examples(self, *columns):
        for number, values in enumerate(zip(*columns, strict=True)):
            yield number, dict(zip(self.kinds, values, strict=True))


LABELLED = {"image": features.Image(shape=(6, 5, 3)), "label": features.ClassLabel(num_classes=4)}


@pytest.fixture
def made(data_dir, monkeypatch):
    """Makes "made" the name of a data set."""

    def make(splits, kinds=LABELLED, **more):
        attributes = {"splits": splits, "kinds": kinds, "__module__": __name__, **more}
        kind = type("Made", (_Made,), attributes, skip_registration=True)
        monkeypatch.setattr(tfds, "builder", lambda name: kind(data_dir=data_dir))

    return make


def test_splits_are_read_in_their_order(made):
    train, test = _grey(9, 6, 5, 3), _grey(4, 6, 5, 3, seed=1)
    others = (_grey(2, 6, 5, 3), [0, 1])
    made({"extra": others, "test": (test, [3, 0, 1, 1]), "train": (train, np.arange(9) % 4),
          "validation": others})  # fmt: skip
    dataset = load_dataset("tfds:made")
    np.testing.assert_array_equal(dataset.train.images, train)
    np.testing.assert_array_equal(dataset.test.images, test)
    assert dataset.train.labels.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0]
    assert dataset.test.labels.tolist() == [3, 0, 1, 1]
    assert dataset.class_names is None  # there are numbers alone


def test_without_a_test_split_validation_takes_its_place(made):
    made({"validation": (_grey(3, 6, 5, 3), [1] * 3), "train": (_grey(9, 6, 5, 3), [0] * 9)})
    assert load_dataset("tfds:made").test.labels.tolist() == [1, 1, 1]


def test_of_a_lone_split_the_seed_holds_a_tenth_out(made):
    images = np.arange(50, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 6, 5, 3), np.uint8)
    made({"train": (images, np.arange(50) % 4)})
    held_out = [load_dataset("tfds:made", seed=seed).test for seed in (0, 0, 1)]
    numbers = [split.images[:, 0, 0, 0].tolist() for split in held_out]
    assert len(numbers[0]) == 5 and numbers[0] == numbers[1] != numbers[2]
    assert held_out[0].labels.tolist() == [number % 4 for number in numbers[0]]


def test_secret_labels_are_none(made):
    kinds = {**LABELLED, "label": features.ClassLabel(names=["a", "b"])}
    made({"train": (_grey(3, 6, 5, 3), ["a", "b", "b"]), "test": (_grey(2, 6, 5, 3), [-1, -1])},
         kinds)  # fmt: skip
    dataset = load_dataset("tfds:made")
    assert dataset.train.labels.tolist() == [0, 1, 1] and dataset.test.labels is None
    assert dataset.class_names == ("a", "b")


def test_images_need_no_labels(made):
    made({"train": (_grey(3, 6, 5, 3),)}, {"picture": features.Image(shape=(6, 5, 3))})
    dataset = load_dataset("tfds:made")
    assert dataset.train.labels is None and dataset.class_names is None


def test_of_several_labels_the_supervised_one_is_taken(made):
    kinds = {
        "angle": features.ClassLabel(num_classes=9),
        "image": features.Image(shape=(6, 5, 3)),
        "kind": features.ClassLabel(names=["cup", "car"]),
    }
    columns = ([7, 8, 7], _grey(3, 6, 5, 3), ["car", "cup", "car"])
    made({"train": columns, "test": columns}, kinds, keys=("image", "kind"))
    dataset = load_dataset("tfds:made")
    assert dataset.class_names == ("cup", "car") and dataset.train.labels.tolist() == [1, 0, 1]


ANY_SIZE = {"image": features.Image(shape=(None, None, 1))}
BAD = {
    "several sizes": (
        {"train": ([_grey(4, 4, 1), _grey(4, 5, 1)],)}, ANY_SIZE,
        "has images of several sizes .4 x 4 x 1, 4 x 5 x 1.*--data_path=FOLDER",
    ),
    "another size for testing": (
        {"train": ([_grey(4, 4, 1)],), "test": ([_grey(5, 4, 1)],)}, ANY_SIZE, "several sizes",
    ),
    "no images": ({"train": ([1, 2],)}, {"label": features.ClassLabel(num_classes=9)},
                  "its examples hold no image .label."),
    "no training": ({"test": (_grey(2, 4, 4, 1),)}, ANY_SIZE, "has no split train, but test"),
    "one image": ({"train": (_grey(1, 4, 4, 1),)}, ANY_SIZE, "at least 2"),
    "levels of 16 bits": (
        {"train": (_grey(2, 4, 4, 1).astype(np.uint16) * 200,)},
        {"image": features.Image(shape=(4, 4, 1), dtype=np.uint16)}, "they must lie in 0 to 255",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("splits", "kinds", "message"), BAD.values(), ids=BAD)
def test_what_is_no_set_of_images_is_refused_in_a_line(made, splits, kinds, message):
    made(splits, kinds)
    with pytest.raises(UserError, match=f"--dataset=tfds:made.*{message}") as error:
        load_dataset("tfds:made")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("fault", [OSError("no way there\nat all"), ImportError("No module 'x'")])
def test_failed_downloads_are_refused_in_a_line(made, fault):
    def fail(self, _):
        raise fault

    made({}, _split_generators=fail)
    with pytest.raises(
        UserError, match="tfds:made (is not in .*no way there|needs another)"
    ) as error:
        load_dataset("tfds:made")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name", ["no_such_data_set", "kmnist/no_such", "../etc", "kmnist:1", "a b"]
)
def test_unknown_names_are_refused_in_a_line(name):
    with pytest.raises(UserError, match=f"^--dataset=tfds:{name}: [^\n]*$"):
        load_dataset(f"tfds:{name}")
