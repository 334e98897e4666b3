import time

import numpy as np
import pytest
from folder_helpers import listing_of, save_all, splits_and_classes

from cvae_tf.data.folder_classes import read_classes
from cvae_tf.data.folder_listing import list_pictures
from cvae_tf.data.folder_names import LEFT_OUT, TEST, TRAIN


def _read(root, names, folders=()):
    save_all(root, names)
    for folder in folders:
        (root / folder).mkdir(parents=True)
    return read_classes(list_pictures(root))


def test_pictures_without_folders_have_no_labels(tmp_path):
    classes = _read(tmp_path, ["a.png", "b.png"])
    assert classes == (None, None, None, None)


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
    assert capsys.readouterr().err == (
        "warning: 3 of 5 pictures are left out (cover.png, val), because there are train/ for "
        "training, test/ for testing.\n"
    )


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


# Layouts: the pictures, those for training and for testing with their classes, and how it is said

LAYOUTS = {
    "synonyms": (
        "{Training,Testing}/{a,b}/1.png",
        "Training/a/1.png:a Training/b/1.png:b",
        "Testing/a/1.png:a Testing/b/1.png:b",
        "Training/ for training, Testing/ for testing",
    ),
    "twice the same folder": (
        "training_set/training_set/{a,b}/1.png test_set/test_set/{a,b}/1.png",
        "training_set/training_set/a/1.png:a training_set/training_set/b/1.png:b",
        "test_set/test_set/a/1.png:a test_set/test_set/b/1.png:b",
        "training_set/ for training, test_set/ for testing",
    ),
    "a folder around": (
        "data/chest/{train,test}/a/1.png data/chest/train/b/1.png",
        "data/chest/train/a/1.png:a data/chest/train/b/1.png:b",
        "data/chest/test/a/1.png:a",
        "data/chest/train/ for training, data/chest/test/ for testing",
    ),
    "a folder within each split": (
        "{train,test}/images/{a,b}/1.png",
        "train/images/a/1.png:a train/images/b/1.png:b",
        "test/images/a/1.png:a test/images/b/1.png:b",
        "train/ for training, test/ for testing",
    ),
    "a folder within one split": (
        "train/{a,b}/1.png test/all/{a,b}/1.png",
        "train/a/1.png:a train/b/1.png:b",
        "test/all/a/1.png:a test/all/b/1.png:b",
        "train/ for training, test/ for testing",
    ),
    "one class in a split": (
        "train/{a,b}/1.png test/a/1.png",
        "train/a/1.png:a train/b/1.png:b",
        "test/a/1.png:a",
        "train/ for training, test/ for testing",
    ),
    "one class in each split": (
        "train/good/1.png test/bad/1.png",
        "train/good/1.png:good",
        "test/bad/1.png:bad",
        "train/ for training, test/ for testing",
    ),
    "splits within classes": (
        "{cat,dog}/{train,test}/1.png",
        "cat/train/1.png:cat dog/train/1.png:dog",
        "cat/test/1.png:cat dog/test/1.png:dog",
        "*/train/ for training, */test/ for testing",
    ),
    "splits within digits in a folder": (
        "x/{0,1}/{Trn,Tst}/1.png",
        "x/0/Trn/1.png:0 x/1/Trn/1.png:1",
        "x/0/Tst/1.png:0 x/1/Tst/1.png:1",
        "x/*/Trn/ for training, x/*/Tst/ for testing",
    ),
    "splits below images": (
        "images/{train,val}/{1,2}.png",
        "images/train/1.png images/train/2.png",
        "images/val/1.png images/val/2.png",
        "images/train/ for training, images/val/ for testing",
    ),
    "words of one side, and the same folders": (
        "{train_birds,test}/{a,b}/1.png",
        "train_birds/a/1.png:a train_birds/b/1.png:b",
        "test/a/1.png:a test/b/1.png:b",
        "train_birds/ for training, test/ for testing",
    ),
    "classes with numbers": (
        "class_{1,2}/{train,test}/1.png",
        "class_1/train/1.png:class_1 class_2/train/1.png:class_2",
        "class_1/test/1.png:class_1 class_2/test/1.png:class_2",
        "*/train/ for training, */test/ for testing",
    ),
    "one class in both splits": (
        "{train,test}/images/1.png",
        "train/images/1.png:images",
        "test/images/1.png:images",
        "train/ for training, test/ for testing",
    ),
    "folders that say images": (
        "train/images_tr/1.png test/images_te/1.png",
        "train/images_tr/1.png",
        "test/images_te/1.png",
        "train/ for training, test/ for testing",
    ),
    "classes below a folder": ("images/{a,b}/1.png", "images/a/1.png:a images/b/1.png:b", "", None),
    "classes far below": ("x/y/z/{a,b}/1.png", "x/y/z/a/1.png:a x/y/z/b/1.png:b", "", None),
    "one class": ("images/{1,2}.png", "images/1.png:images images/2.png:images", "", None),
    "one class below": ("x/y/{1,2}.png", "x/y/1.png:y x/y/2.png:y", "", None),
    "one class with a folder": ("a/{1,b/2}.png", "a/1.png:a a/b/2.png:a", "", None),
    "train is a vehicle": ("{train,car}/1.png", "train/1.png:train car/1.png:car", "", None),
    "stations and tubes": (
        "{train_station,test_tube}/1.png",
        "train_station/1.png:train_station test_tube/1.png:test_tube",
        "",
        None,
    ),
    "validation is a class": (
        "{validation,approval}/1.png",
        "validation/1.png:validation approval/1.png:approval",
        "",
        None,
    ),
    "folders in classes": (
        "{cat,dog}/images/1.png", "cat/images/1.png:cat dog/images/1.png:dog", "", None,
    ),
    "a letter and its accent": (
        "{e\u0301,f}/1.png \u00e9/2.png",
        "e\u0301/1.png:\u00e9 \u00e9/2.png:\u00e9 f/1.png:f",
        "",
        None,
    ),
    "splits of other systems": (
        "train/e\u0301/1.png train/f/1.png test/\u00e9/2.png",
        "train/e\u0301/1.png:\u00e9 train/f/1.png:f",
        "test/\u00e9/2.png:\u00e9",
        "train/ for training, test/ for testing",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("pictures", "train", "test", "how"), LAYOUTS.values(), ids=LAYOUTS)
def test_layouts(pictures, train, test, how, capsys):
    listing = listing_of(pictures)
    classes = read_classes(listing)
    wanted = {}
    for split, text in ((TRAIN, train), (TEST, test)):
        for each in text.split():
            path, _, name = each.partition(":")
            wanted[path] = (split if test else None, name or None)
    assert splits_and_classes(listing, classes) == wanted and classes.how == how
    assert capsys.readouterr().err == ""


WARNINGS = {
    "val is left out of each class": (
        "{cat,dog}/{train,test,val}/1.png",
        "2 of 6 pictures are left out (val), because there are */train/ for training, */test/",
    ),
    "the same folders beside others": (
        "x/{Training,Test}/{a,b}/1.png x/test-several/1.png",
        "1 of 5 pictures are left out (test-several), because there are x/Training/ for training, "
        "x/Test/ for testing.",
    ),
    "words of one side alone": (
        "{train_birds,test}/1.png",
        "test, train_birds seem to be for training and for testing",
    ),
    "unlabelled pictures in a folder of the same name": (
        "abc_train/abc_train/{a,b}/1.png abc_test/abc_test/1.png",
        "abc_test/abc_test/1.png is in no folder of a class, so there are no classes",
    ),
    "the same folders further down": (
        "{amazon,webcam}/images/{a,b}/1.png",
        "amazon, webcam hold folders of the same names (a, b)",
    ),
    "a cover in a wrapper": (
        "x/{cover,train/1,test/1}.png",
        "1 of 3 pictures are left out (cover.png), because there are x/train/ for training",
    ),
    "pictures without a use": (
        "seg_{train,test}/seg_{train,test}/{a,b}/1.png seg_pred/1.png",
        "1 of 9 pictures are left out (seg_pred), because",
    ),
    "a class called training": (
        "{training,testing,plane}/{a,b}/1.png",
        "testing, training seem to be for training and for testing, but it is not clear which is "
        "which, and they are not read so. If they are, name two train/ and test/",
    ),
    "numbered by letters": (
        "{a._Training_Set,b._Testing_Set}/{1,2}.png",
        "a._Training_Set, b._Testing_Set seem to be for training and for testing, but it is",
    ),
    "a copy within": (
        "x/{a,b,x/a,x/b}/1.png",
        "x holds folders of the same names as those beside it (a, b), and is read as one class.",
    ),
    "splits and classes in one name": (
        "{train_cat,test_cat,train_dog,test_dog}/1.png",
        "test_cat, test_dog, train_cat, train_dog seem to be for training and for testing",
    ),
    "turns of a cross-validation": (
        "fold_{1,2}/{train,test}/{a,b}/1.png",
        "fold_1/test, fold_1/train seem to be for training and for testing, but it is not clear "
        "which is which, and they are not read so. If they are, give --data_path=data/fold_1.",
    ),
    "splits beside a picture": (
        "cover.png chest/{train,test}/1.png",
        "chest/test, chest/train seem to be for training and for testing",
    ),
    "the same classes twice": (
        "{color,gray}/{a,b,c}/1.png gray/d/1.png",
        "color, gray hold folders of the same names (a, b, c), and each is read as one class. If "
        "some are for training and some for testing, name them train/ and test/",
    ),
    "unlabelled pictures for testing": (
        "train/{a,b}/images/1.png val/images/1.png",
        "val/images/1.png is in no folder of a class, so there are no classes",
    ),
    "labels with other names": (
        "images/{1,2}.png labels/{3,4}.png",
        "images, labels are read as classes. To learn from images alone, give "
        "--data_path=data/images.",
    ),
}


@pytest.mark.parametrize(("pictures", "warning"), WARNINGS.values(), ids=WARNINGS)
def test_what_is_not_clear_is_said(pictures, warning, capsys):
    read_classes(listing_of(pictures))
    assert f"warning: {warning}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("pictures", "others", "folders", "warning"),
    [
        ("{a,c}/1.png", "b/{1,2}.heic b/x.csv", "", "b (2 .heic, 1 .csv)"),
        ("x/{a,c}/1.png", "x/b/in/{1,2}.heic", "y", "b (2 .heic), y"),
        ("train/a/1.png", "test/a/1.heic", "", "test (1 .heic)"),
        ("{train,test}/{a,c}/1.png", "{train,test}/b/1.heic", "", "b (2 .heic)"),
        ("cat/{1,2}.png", "dog/1.heic", "", "dog (1 .heic)"),
    ],
)
def test_classes_without_pictures_are_named_with_what_they_hold(
    pictures, others, folders, warning, capsys
):
    read_classes(listing_of(pictures, others, folders))
    expected = f"warning: No pictures are in {warning}; such classes are left out.\n"
    assert capsys.readouterr().err == expected


def test_folders_of_labels_are_no_empty_classes(capsys):
    read_classes(listing_of("images/{1,2}.png", "labels/{1,2}.txt"))
    assert capsys.readouterr().err == ""


def test_many_classes_take_no_time():
    count = 20_000
    paths = sorted(f"test {number:x}a/1.png".encode() for number in range(count))
    start = time.perf_counter()
    classes = read_classes(listing_of("")._replace(paths=paths, facts=np.zeros((count, 3))))
    assert len(classes.names) == count and time.perf_counter() - start < 20
