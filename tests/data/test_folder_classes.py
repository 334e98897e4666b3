import numpy as np
import pytest
from folder_helpers import save_all

from cvae_tf.data.folder_classes import LEFT_OUT, TEST, TRAIN, listed, read_classes
from cvae_tf.data.folder_listing import list_pictures


def _read(root, names, folders=()):
    save_all(root, names)
    for folder in folders:
        (root / folder).mkdir(parents=True)
    return read_classes(list_pictures(root))


def test_pictures_without_folders_have_no_labels(tmp_path):
    classes = _read(tmp_path, ["a.png", "b.png"])
    assert classes == (None, None, None)


def test_folders_are_classes_however_deep_the_pictures(tmp_path, capsys):
    classes = _read(tmp_path, ["cat/1.png", "cat/old/2.png", "dog/3.png", "ant/x/y/4.png"])
    assert classes.names == ("ant", "cat", "dog") and classes.splits is None
    assert classes.labels.tolist() == [0, 1, 1, 2] and classes.labels.dtype == np.int64
    assert capsys.readouterr().err == ""


def test_a_picture_beside_the_folders_means_no_labels(tmp_path):
    assert _read(tmp_path, ["cat/1.png", "dog/2.png", "3.png"]).labels is None


@pytest.mark.parametrize("test", ["test", "TEST", "val", "Valid", "validation"])
def test_folders_of_splits(tmp_path, test):
    names = ["Train/cat/1.png", "Train/dog/2.png", f"{test}/cat/3.png", f"{test}/eel/4.png"]
    save_all(tmp_path, names)
    listing = list_pictures(tmp_path)
    classes = read_classes(listing)
    found = {
        path.decode(): (int(split), classes.names[label])
        for path, split, label in zip(listing.paths, classes.splits, classes.labels, strict=True)
    }
    assert found == {
        names[0]: (TRAIN, "cat"),
        names[1]: (TRAIN, "dog"),
        names[2]: (TEST, "cat"),
        names[3]: (TEST, "eel"),
    }


def test_splits_without_classes(tmp_path):
    classes = _read(tmp_path, ["train/1.png", "train/2.png", "test/3.png"])
    assert classes.labels is None and classes.splits.tolist() == [TEST, TRAIN, TRAIN]


def test_test_is_taken_before_validation_and_the_rest_left_out(tmp_path, capsys):
    names = ["train/a/1.png", "val/a/2.png", "val/b/3.png", "test/a/4.png", "cover.png"]
    classes = _read(tmp_path, names)
    assert classes.splits.tolist() == [LEFT_OUT, TEST, TRAIN, LEFT_OUT, LEFT_OUT]
    assert classes.labels.tolist() == [-1, 0, 0, -1, -1] and classes.names == ("a",)
    assert "3 pictures are in neither of test, train; they are left out" in capsys.readouterr().err


def test_train_alone_holds_the_classes(tmp_path):
    classes = _read(tmp_path, ["train/cat/1.png", "train/dog/2.png"], ["test"])
    assert classes.splits is None and classes.names == ("cat", "dog")


def test_train_may_be_a_class_among_others(tmp_path):
    classes = _read(tmp_path, ["train/1.png", "tram/2.png"])
    assert classes.splits is None and classes.names == ("train", "tram")


@pytest.mark.parametrize("prefix", ["", "train/"])
def test_empty_folders_are_left_out_with_one_warning(tmp_path, capsys, prefix):
    names = [f"{prefix}cat/1.png", *(["test/cat/2.png"] if prefix else ["dog/3.png"])]
    empty = [f"{prefix}empty{number}" for number in range(7)]
    classes = _read(tmp_path, names, empty)
    assert "empty0" not in classes.names
    warned = capsys.readouterr().err
    assert warned.count("\n") == 1
    assert "No pictures are in empty0, empty1, empty2, empty3, empty4 and 2 more" in warned


def test_folders_without_pictures_beside_pictures_are_no_classes(tmp_path, capsys):
    assert _read(tmp_path, ["1.png"], ["notes"]).labels is None
    assert capsys.readouterr().err == ""


def test_names_of_classes_are_kept_and_can_be_shown(tmp_path):
    classes = _read(tmp_path, ["猫/1.png", "a b/2.png", "x\ny/3.png", "\udcff/4.png", "A b/5.png"])
    assert set(classes.names) == {"猫", "a b", "x\\ny", "\\udcff", "A b"}


def test_lists_are_short():
    assert listed(["b", "a"]) == "a, b"
    assert listed([str(number) for number in range(1005)]).endswith("and 1,000 more")
