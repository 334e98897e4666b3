"""Images that a run of an older version began with are those that it goes on with.

The sums are what version 2e41088 recorded of these folders.
"""

import numpy as np
import pytest
from folder_helpers import expand, save_all

from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import fingerprint, load_again, load_dataset

SAME = {
    "a tenth of each class": (
        "{a,b}/{0,1}{0,1,2,3,4,5,6,7,8,9}.png c/1.png", 3,
        "5cc033cf0f34d8ce14a938177208e677ffa862ff895cb374ae40638341c0d96e", ("a", "b", "c"),
    ),
    "a tenth of all": (
        "{0,1,2,3,4}{0,1,2,3}.png", 1,
        "5f03051d18c1fb5050147a72aefd28aa0232eea44d12ca60fc2b5b2c2e52fc25", None,
    ),
    "small classes": (
        "{a,b,c}/{1,2,3}.png", 0,
        "702720c61500fe18f56f66584da79763ec2dbfbee30de0d416cab1a7e8416671", ("a", "b", "c"),
    ),
    "classes of two": (
        "{a,b,c,d,e,f,g,h,i,j}/{1,2}.png", 1,
        "595c9b8d9345c894d2126125d34771df38bdc26e63fae9fc201b95e159418781", tuple("abcdefghij"),
    ),
    "plain splits": (
        "{train,test,val}/{a,b}/{1,2}.png", 0,
        "6fecbada26b676a1a52c8a90fff30796faf9c10caf69dc7a661de89daa21aac9", ("a", "b"),
    ),
    "train alone": (
        "train/{a,b}/{1,2}.png", 2,
        "20984072e4129e6e139bb57679b79c8cd3a6d94e15710484425a7cee129fa2e4", ("a", "b"),
    ),
}  # fmt: skip
OTHERS = {
    "splits as classes": (
        "{Training,Testing}/{a,b}/{1,2}.png", 0,
        "e627f1cb8ca73672e63fd6f143b6b9be6db7bde6df7546a5e42ff8b2f7536217", ("Testing", "Training"),
    ),
    "a folder around": (
        "x/{train,test}/{a,b}/{1,2}.png", 0,
        "2e17c493f631dec0a358b06219515d8cfd1a83eadac995d8e762c353f94f3496", ("x",),
    ),
    "one class": (
        "images/{1,2,3,4}.png", 0,
        "2961bf98a05b4b1a92a0a245d968610ddf1a49f4ec37bfb08d8e3a2c143fd31f", ("images",),
    ),
    "masks": (
        "{images,masks}/{1,2,3}.png", 0,
        "d84360dba599e997a3affd88a8805e2369f61ed5492f198090e8094fe27877ae", ("images", "masks"),
    ),
    "an accent apart": (
        "{e\u0301,f}/{1,2,3}.png", 0,
        "ba5ee03ac0ec46ce7cf9a8971c03f7353c8784949e55c87edcd86050dac50e80", ("e\u0301", "f"),
    ),
    "a class without training": (
        "{a,b}/1.png c/{1,2,3}.png", 0,
        "54bfbbad845320cf1b75eadbcf7cc3b7267427e5fa16665523bf133aa66aa4d0", ("a", "b", "c"),
    ),
}  # fmt: skip
OLD_RULES = "its splits and classes are those of the version that began the run"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


def _recorded(sha256, names):
    return {"name": "x", "sha256": sha256, **({"class_names": list(names)} if names else {})}


@pytest.mark.parametrize(("pictures", "seed", "sha256", "names"), SAME.values(), ids=SAME)
def test_what_was_right_is_the_same(tmp_path, capsys, pictures, seed, sha256, names):
    save_all(tmp_path / "x", expand(pictures))
    dataset = load_dataset(data_path=tmp_path / "x", seed=seed)
    assert dataset.sha256 == sha256 and dataset.class_names == names
    assert load_again(_recorded(sha256, names), str(tmp_path / "x"), seed).sha256 == sha256
    assert OLD_RULES not in capsys.readouterr().out


@pytest.mark.parametrize(("pictures", "seed", "sha256", "names"), OTHERS.values(), ids=OTHERS)
def test_what_is_read_in_another_way_now_goes_on_as_it_began(
    tmp_path, capsys, pictures, seed, sha256, names
):
    save_all(tmp_path / "x", expand(pictures))
    assert load_dataset(data_path=tmp_path / "x", seed=seed).sha256 != sha256
    dataset = load_again(_recorded(sha256, names), str(tmp_path / "x"), seed)
    assert dataset.sha256 == sha256 and dataset.class_names == names
    assert OLD_RULES in capsys.readouterr().out


def test_other_pictures_are_refused_by_all_rules(tmp_path):
    save_all(tmp_path / "x", expand("{Training,Testing}/{a,b}/{1,2,3}.png"))
    with pytest.raises(UserError, match="the images are not those of the training"):
        load_again(_recorded(OTHERS["splits as classes"][2], None), str(tmp_path / "x"), 0)


def test_classes_that_got_other_names_are_taken_as_they_are(tmp_path, capsys):
    images = np.random.default_rng(0).integers(0, 256, (8, 4, 4)).astype(np.uint8)
    path = str(tmp_path / "x.npz")
    np.savez(path, x_train=images, y_train=["e\u0301", "f"] * 4)
    sha256 = fingerprint(load_dataset(data_path=path))
    assert load_again(_recorded(sha256, ["x", "y"]), path, 0).class_names == ("f", "\u00e9")
    assert capsys.readouterr().out == ""


def test_accents_of_labels_in_a_file_stay_apart(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (8, 4, 4)).astype(np.uint8)
    path = str(tmp_path / "x.npz")
    np.savez(path, x_train=images, y_train=["e\u0301", "f"] * 4)
    dataset = load_dataset(data_path=path)
    assert dataset.class_names == ("f", "\u00e9")
    names = ["e\u0301", "f"]
    again = load_again(_recorded(fingerprint(dataset), names), path, 0)
    assert again.class_names == tuple(names)


def test_a_class_of_a_file_that_lost_its_last_image_stays_without(tmp_path):
    images = np.tile(np.arange(20, dtype=np.uint8)[:, None, None], (1, 2, 2)) + 100
    path = str(tmp_path / "x.npz")
    np.savez(path, x_train=images, y_train=np.arange(20) == 19)
    dataset, older = (load_dataset(data_path=path, as_before=each) for each in (False, True))
    assert (older.test.images[:, 0, 0, 0] - 100).tolist() == [4, 19]
    again = load_again(_recorded(fingerprint(older), None), path, 0)
    np.testing.assert_array_equal(again.train.images, older.train.images)
    assert fingerprint(dataset) != fingerprint(older)
