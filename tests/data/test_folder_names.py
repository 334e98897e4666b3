import pytest

from cvae_tf.data.folder_names import (
    TEST,
    TRAIN,
    find_splits,
    find_splits_alike,
    is_of_images,
    is_of_masks,
    seem_to_be_splits,
    tells_of_labels,
    words_of,
)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Training", "training"),
        ("trainSet_2017", "train set 2017"),
        ("TRAINset", "train set"),
        ("Val-Data.v2", "val data v 2"),
        ("testimages", "test images"),
        ("Held-Out", "holdout"),
        ("JPEGImages", "jpeg images"),
        ("dogTest", "dog test"),
        ("evaluated", "evaluated"),
        ("contest latest", "contest latest"),
        ("trainкошка", "train кошка"),
        ("vats", "vats"),  # not "va" and "ts"
        ("\udcff", ""),
    ],
)
def test_names_are_split_into_words(name, words):
    assert words_of(name) == words_of(name.encode(errors="surrogateescape")) == tuple(words.split())


PAIRS = [
    "Training Testing",
    "training_set test_set",
    "train_images test_images",
    "train eval",
    "trn tst",
    "Train_Data Val-Data",
    "dataset_train dataset_test",
    "train2017 val2017",
    "train dev",
    "train holdout",
    "train hold-out",
    "TrainSet HeldOut",
    "seg_train seg_test",
    "trainset testset",
    "train80 test20",
    "01_train 02_test",
    "training.samples validation.samples",
    "imagesTr imagesTs",
    "X_train X_test",
    "trainval test",
    "TRAIN EVALUATION",
    "Train(1) Test(1)",
    "my-photos-for-training my-photos-for-validation",
    "train_split tests",
]


@pytest.mark.parametrize("names", PAIRS)
def test_splits_are_known_by_words(names):
    train, test = map(str.encode, names.split())
    for is_strict in (False, True):
        assert find_splits([train, test], is_strict) == {train: TRAIN, test: TEST}


@pytest.mark.parametrize(
    ("names", "train", "test"),
    [
        ("train val test", "train", "test"),
        ("train valid val", "train", "val"),
        ("train dev test", "train", "test"),
        ("train trainval val test", "train", "test"),
        ("train train_aug test", "train", "test"),
        ("seg_train seg_test seg_pred", "seg_train", "seg_test"),
        ("Training Testing masks", "Training", "Testing"),
        ("train_images train_masks test_images test_masks", "train_images", "test_images"),
        ("train_set test_set unlabeled", "train_set", "test_set"),
        ("train1 train2 test", "train1 train2", "test"),
        ("Train train TEST", "Train train", "TEST"),
        ("train test plane", "train", "test"),  # plain names, as before
    ],
)
def test_the_first_of_several_is_taken(names, train, test):
    wanted = dict.fromkeys(map(str.encode, train.split()), TRAIN)
    wanted |= dict.fromkeys(map(str.encode, test.split()), TEST)
    assert find_splits([name.encode() for name in names.split()], is_strict=False) == wanted


@pytest.mark.parametrize(
    "names",
    [
        "train car bus",
        "train plane",
        "train_station test_tube",
        "trains tests",
        "evaluated trained",
        "validation approval",
        "test val",
        "training testing plane",  # a class of that name
        "training testing test_tube",
        "tr te de",  # languages
        "train_1 train_2 test_1 test_2",  # turns of a cross-validation
        "train_cat test_cat train_dog test_dog",
        "train_small train_full test",
        "traintest test",
        "кошка собака",
    ],
)
def test_other_names_are_no_splits(names):
    assert find_splits([name.encode() for name in names.split()], is_strict=False) == {}


def test_plain_names_beside_others_are_none_where_nothing_else_may_be():
    assert find_splits([b"train", b"test", b"plane"], is_strict=True) == {}
    assert find_splits([b"train", b"test", b"unlabeled"], is_strict=True)


def test_parts_of_one_split_are_for_training():
    assert find_splits([b"Train", b"train"], is_strict=False) == {b"Train": TRAIN, b"train": TRAIN}


def test_what_may_be_splits_is_noticed():
    assert seem_to_be_splits([b"test_cat", b"train_cat", b"x"]) == [b"test_cat", b"train_cat"]
    assert seem_to_be_splits([b"train_birds", b"test"]) == [b"test", b"train_birds"]
    assert seem_to_be_splits([b"train_station", b"test_tube", b"car"]) == []


def test_two_folders_that_hold_the_same_may_differ_in_a_word():
    assert find_splits_alike([b"train_birds", b"test"]) == {b"train_birds": TRAIN, b"test": TEST}
    assert find_splits_alike([b"Training", b"Test"]) == {b"Training": TRAIN, b"Test": TEST}
    for names in ([b"train_station", b"test_tube"], [b"train1", b"train2"], [b"a", b"b"], []):
        assert find_splits_alike(names) == {}


def test_folders_of_masks_and_of_images_are_told_apart():
    masks = ["masks", "labels", "annotations", "gt", "GroundTruth", "SegmentationMasks", "labelsTr"]
    images = ["images", "imgs", "JPEGImages", "photos_2", "train", "rawData"]
    neither = ["with_mask", "no_mask", "cat", "7", "2019", ""]
    assert all(is_of_masks(name) and not is_of_images(name) for name in masks)
    assert all(is_of_images(name) and not is_of_masks(name) for name in images)
    assert not any(is_of_images(name) or is_of_masks(name) for name in neither)


def test_lists_of_labels_are_told_from_other_texts():
    assert tells_of_labels(b"trainLabels.txt", b"") and tells_of_labels(b"7.txt", b"labels")
    assert tells_of_labels(b"classes.txt", b"data") and not tells_of_labels(b"README.txt", b"data")
