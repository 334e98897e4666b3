import os
import socket

import numpy as np
import pytest
from folder_helpers import READING, pixels_of, save, save_all
from PIL import Image

from cvae_tf.core.errors import UserError
from cvae_tf.data import folder
from cvae_tf.data.datasets import fingerprint, margin_brightness
from cvae_tf.data.disk_images import DiskImages
from cvae_tf.data.picture_images import PictureImages
from cvae_tf.reading import ReadingSettings


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


@pytest.fixture
def root(tmp_path):
    return tmp_path / "pictures"


def _load(root, seed=0, cache_mb=None, disk_mb=None, **reading):
    return folder.load(root, seed, ReadingSettings(**reading), cache_mb, disk_mb)


def _names(*folders, count=10):
    return [f"{each}/{number:03}.png" for each in folders for number in range(count)]


def _refusal(root, **options):
    with pytest.raises(UserError) as caught:
        _load(root, **options)
    assert len(str(caught.value).splitlines()) <= 2
    return str(caught.value)


def _rows(images):
    """The images as a set."""
    return {image.tobytes() for image in images[:]}


# Levels and pages


def _save_deep(root, largest, num=4, dtype=np.uint16):
    """Pictures of 16 bits whose largest level is this one; returns their levels [N, H, W]."""
    levels = np.random.default_rng(0).integers(0, largest + 1, (num, 8, 8)).astype(dtype)
    levels[-1, 0, 0] = largest
    root.mkdir(parents=True, exist_ok=True)
    for number, each in enumerate(levels):
        Image.fromarray(each).save(root / f"{number}.png")
    return levels


@pytest.mark.parametrize(
    ("largest", "white", "bits"),
    [(1, 255, 8), (4, 255, 8), (255, 255, 8), (256, 1023, 10), (1023, 1023, 10), (3000, 4095, 12),
     (4096, 16383, 14), (16384, 65535, None), (65535, 65535, None)],
)  # fmt: skip
def test_bits_that_16_bit_pictures_use_are_found_and_said(root, largest, white, bits, capsys):
    levels = _save_deep(root, largest)
    dataset = _load(root)
    seen = np.concatenate([dataset.train.images, dataset.test.images])[..., 0]
    wanted = np.rint(levels / white * 255).astype(np.uint8)
    assert _rows(seen) == _rows(wanted)
    said = f"no picture of 16 bits uses more than {bits} of them, so the level {white} is white"
    assert (said in capsys.readouterr().out) == (bits is not None)
    assert dataset.form.deep_white_level == white
    assert _load(root).sha256 == dataset.sha256  # from what is kept
    assert ("16 bits" in capsys.readouterr().out) == (bits is not None)


def test_one_deep_picture_among_many_is_found_wherever_it_is(root):
    """It is not among the pictures that are looked at first."""
    save_all(root, _names("a", count=70))
    (levels,) = _save_deep(root / "a", 4095, num=1)[:1]
    (root / "a" / "0.png").rename(root / "a" / "069x.png")
    dataset = _load(root)
    assert dataset.form.deep_white_level == 4095
    assert np.rint(levels / 4095 * 255).astype(np.uint8).tobytes() in (
        _rows(dataset.train.images) | _rows(dataset.test.images)
    )


@pytest.mark.parametrize(
    ("white_level", "white"), [("4", 4), ("auto", 3), ("255", 255), (None, 255), ("3.0", 3)]
)
def test_white_level_is_that_of_all_pictures(root, white_level, white):
    for number in range(4):
        save(root / f"{number}.png", np.full((8, 8, 1), number, np.uint8))
    dataset = _load(root, white_level=white_level)
    levels = sorted({*np.unique(dataset.train.images), *np.unique(dataset.test.images)})
    assert levels == [round(255 * min(number / white, 1)) for number in range(4)]


@pytest.mark.parametrize("white_level", ["4095", "auto"])
def test_white_level_of_16_bits_leaves_pictures_of_8_bits_as_they_are(root, white_level):
    deep = _save_deep(root, 4095, num=2)
    flat = save_all(root, ["x.png", "y.png"])
    dataset = _load(root, white_level=white_level)
    wanted = {np.rint(each / 4095 * 255).astype(np.uint8).tobytes() for each in deep}
    seen = _rows(dataset.train.images) | _rows(dataset.test.images)
    assert seen == wanted | {each.tobytes() for each in flat.values()}


@pytest.mark.parametrize("white_level", ["0", "-4", "nan", "inf", "white", ""])
def test_white_levels_that_are_none_are_refused(white_level):
    with pytest.raises(UserError, match="^--white_level='.*': must be a number above 0"):
        ReadingSettings(white_level=white_level)


@pytest.mark.parametrize("disk_mb", [None, 0])
def test_pages_are_left_out_and_it_is_said_or_each_is_an_image(root, disk_mb, capsys):
    pages = [Image.fromarray(pixels_of(number)[..., 0]) for number in range(5)]
    save(root / "a.png", pixels_of(9))
    pages[0].save(root / "b.tif", save_all=True, append_images=pages[1:])
    dataset = _load(root, disk_mb=disk_mb)
    assert len(dataset.train.images) + len(dataset.test.images) == 2
    assert "the first one is taken; 4 more are left out (--pages=all" in capsys.readouterr().out
    dataset = _load(root, pages="all", disk_mb=disk_mb)
    seen = _rows(dataset.train.images) | _rows(dataset.test.images)
    assert seen == {pixels_of(number).tobytes() for number in (0, 1, 2, 3, 4, 9)}
    assert "left out" not in capsys.readouterr().out


def test_sizes_of_pages_are_counted_page_by_page(root):
    first = Image.fromarray(pixels_of(0)[..., 0])
    save(root / "a.png", pixels_of(9))
    first.save(root / "b.tif", save_all=True, append_images=[first.resize((4, 4))])
    assert "several sizes, height x width: 8x8 (2), 4x4 (1)" in _refusal(root, pages="all")


def test_floats_do_not_decide_which_bits_are_used(root, capsys):
    root.mkdir()
    for number in range(3):
        Image.fromarray(np.eye(8, k=number, dtype=np.float32)).save(root / f"{number}.tif")
    assert set(np.unique(_load(root).train.images)) == {0, 255} and not capsys.readouterr().out
    Image.fromarray(np.eye(8).astype(np.uint16) * 4095).save(root / "deep.png")
    dataset = _load(root)
    assert dataset.form.deep_white_level == 4095
    assert set(np.unique(dataset.train.images)) == {0, 255}


def test_what_nobody_sees_is_not_the_largest_level(root):
    for number in range(4):
        drawn = np.full((8, 8, 2), 255, np.uint8)
        drawn[..., 1] = 0
        drawn[number] = [40, 255]
        save(root / f"{number}.png", drawn)
    assert _load(root, white_level="auto").form.white_level == 40


@pytest.mark.parametrize(("ink", "background", "remedy"), [(0, 0, 255), (255, 255, 0)])
def test_ink_that_vanishes_on_its_background_is_warned_of(root, ink, background, remedy, capsys):
    for number in range(4):
        drawn = np.full((8, 8, 2), ink, np.uint8)
        drawn[..., 1] = pixels_of(number)[..., 0]
        save(root / f"{number}.png", drawn)
    _load(root, background=background)
    warned = capsys.readouterr().err
    assert "4 transparent pictures are of one level on a background of" in warned
    assert f"give --background={remedy}" in warned
    _load(root, background=remedy)
    assert capsys.readouterr().err == ""


# Splits and classes


def test_folders_are_splits_and_classes(root):
    saved = save_all(root, ["train/cat/1.png", "train/dog/2.png", "train/dog/3.png"], channels=3)
    tests = save_all(root, ["val/dog/4.png", "val/cat/5.png"], channels=3, height=8)
    dataset = _load(root)
    np.testing.assert_array_equal(dataset.train.images, np.stack(list(saved.values())))
    wanted = np.stack([tests["val/cat/5.png"], tests["val/dog/4.png"]])
    np.testing.assert_array_equal(dataset.test.images, wanted)
    assert dataset.class_names == ("cat", "dog") and dataset.image_shape == (8, 8, 3)
    assert dataset.train.labels.tolist() == [0, 1, 1] and dataset.test.labels.tolist() == [0, 1]
    assert dataset.train.labels.dtype == np.int64
    assert dataset.name == "pictures" and dataset.key is None
    assert dataset.origin == (
        f"{root}, 5 pictures of 2 classes, 8 x 8 in colour, train/ for training, val/ for testing."
    )


def test_a_tenth_of_each_class_is_held_out_by_the_seed(root):
    save_all(root, [*_names("few", count=20), *_names("many", count=60), "one/0.png"])
    dataset, again, other = _load(root, 3), _load(root, 3), _load(root, 4)
    assert np.bincount(dataset.test.labels, minlength=3).tolist() == [2, 6, 0]
    assert np.bincount(dataset.train.labels).tolist() == [18, 54, 1]
    np.testing.assert_array_equal(dataset.test.images, again.test.images)
    assert _rows(dataset.test.images) != _rows(other.test.images)
    train, test = _rows(dataset.train.images), _rows(dataset.test.images)
    assert not train & test and len(train | test) == 81
    assert dataset.sha256 == again.sha256 == fingerprint(dataset) != other.sha256


def test_a_data_set_is_another_if_its_pictures_change_their_classes(root):
    """The pixels in the order of the paths are then the same."""
    saved = save_all(root, ["a1.png", "a2.png", "b1.png", "b2.png"])
    sums = {_load(root).sha256}
    for place in ("{[0]}/{}", "{[1]}/{}"):
        for name in saved:
            target = root / place.format(name, name)
            target.parent.mkdir(exist_ok=True)
            next(root.rglob(name)).rename(target)
        sums.add(_load(root).sha256)
    assert len(sums) == 3


def test_labels_belong_to_their_images(root):
    saved = save_all(root, _names("a", "b", "c"))
    dataset = _load(root)
    of_image = {pixels.tobytes(): name[0] for name, pixels in saved.items()}
    for split in (dataset.train, dataset.test):
        for image, label in zip(split.images, split.labels, strict=True):
            assert dataset.class_names[label] == of_image[image.tobytes()]


def test_no_folders_no_labels(root):
    save_all(root, [f"{number}.png" for number in range(30)])
    dataset = _load(root)
    assert dataset.train.labels is None and dataset.test.labels is None
    assert dataset.class_names is None and len(dataset.test.images) == 3


def test_one_class_is_none_and_that_is_said(root, capsys):
    save_all(root, _names("x/images"))
    (root / "train.csv").write_text("file,label")
    dataset = _load(root)
    assert dataset.train.labels is None and dataset.class_names is None
    assert dataset.origin.endswith("a tenth held out for testing; left alone: 1 .csv.")
    captured = capsys.readouterr()
    assert captured.out == f"{root}: all pictures are in images/; one class alone is none.\n"
    assert (
        captured.err.startswith("warning: train.csv may hold labels") and captured.err[-1] == "\n"
    )


def test_tables_beside_classes_are_counted_and_no_more(root, capsys):
    save_all(root, _names("a", "b"))
    for name in ("labels.csv", "a/1.heic", "b/2.HEIC"):
        (root / name).write_text("something")
    assert _load(root).origin.endswith("; left alone: 2 .heic, 1 .csv.")
    assert capsys.readouterr().err.count("\n") == 1  # of the .heic


def test_masks_are_not_decoded(root):
    save_all(root, _names("images"))
    for number in range(10):
        save(root / f"masks/{number:03}.png", pixels_of(0, 9, 9))
    assert _load(root).image_shape == (8, 8, 1)


# Held out


@pytest.mark.parametrize(
    ("sizes", "num_test"),
    [([1, 1, 3], 1), ([2] * 30, 6), ([1] * 99 + [2], 1), ([5, 5], 1), ([1, 2, 30], 3)],
)
def test_no_class_loses_its_last_image(root, sizes, num_test):
    """Links, because many files would take longer."""
    save_all(root, [f"../elsewhere/{number}.png" for number in range(max(sizes))])
    for number, size in enumerate(sizes):
        (root / f"{number:02}").mkdir(parents=True)
        for each in range(size):
            (root / f"{number:02}/{each}.png").symlink_to(f"../../elsewhere/{each}.png")
    for seed in range(4):
        dataset = _load(root, seed)
        assert len(dataset.test.images) == num_test
        assert np.bincount(dataset.train.labels, minlength=len(sizes)).min() >= 1


def test_classes_that_are_not_tested_are_named(root, capsys):
    save_all(root, [*_names("a", "b", count=1), *_names("c", count=3)])
    dataset = _load(root)
    assert set(dataset.train.labels) == {0, 1, 2}
    assert capsys.readouterr().err == "warning: No image for testing is of these classes: a, b.\n"


def test_margins_are_those_of_the_images(root):
    save_all(root, [f"{number}.png" for number in range(30)])
    dataset = _load(root)
    images = np.concatenate([dataset.train.images, dataset.test.images])
    assert dataset.margins == pytest.approx(margin_brightness(images), abs=1e-9)


# In memory or not


@pytest.mark.parametrize(
    ("cache_mb", "disk_mb", "kind"),
    [(None, None, np.ndarray), (0, None, DiskImages), (0, 0, PictureImages), (5, 0, np.ndarray)],
)
def test_images_are_the_same_in_memory_and_on_disk(root, cache_mb, disk_mb, kind):
    save_all(root, _names("a", "b"), height=30, width=20, channels=3)
    plain = _load(root, image_size="16")
    os.utime(root / "a/000.png", ns=(0, 0))  # so that it is decoded again
    dataset = _load(root, image_size="16", cache_mb=cache_mb, disk_mb=disk_mb)
    for split, wanted in ((dataset.train, plain.train), (dataset.test, plain.test)):
        assert type(split.images) is kind and split.images.shape == wanted.images.shape
        np.testing.assert_array_equal(split.images[:], wanted.images)
        np.testing.assert_array_equal(split.labels, wanted.labels)
    assert dataset.sha256 == plain.sha256 and dataset.origin == plain.origin


# Bad input


def test_folder_without_pictures(root):
    root.mkdir()
    assert "holds no pictures" in _refusal(root)
    (root / "notes.txt").write_text("none")
    (root / "empty").mkdir()
    assert "holds no pictures" in _refusal(root)


def test_folder_that_is_not_there(root):
    assert _refusal(root) == f"{root}: no such folder."


def test_one_picture(root):
    save_all(root, ["a.png"])
    assert "holds one picture; at least 2 are needed" in _refusal(root)


@pytest.mark.parametrize("classes", [2, 3, 25])
def test_one_picture_in_each_class(root, classes, capsys):
    save_all(root, _names(*(f"class{number:02}" for number in range(classes)), count=1))
    dataset = _load(root)
    assert len(dataset.test.images) == max(1, round(classes / 10))
    assert len(dataset.train.images) == classes - len(dataset.test.images)
    assert "No image for training is of these classes of the test" in capsys.readouterr().err


def test_all_pictures_damaged(root):
    for name in save_all(root, _names("a", count=7)):
        (root / name).write_bytes(b"no picture")
    for skip_bad in (False, True):
        text = _refusal(root, skip_bad=skip_bad)
        assert "7 of 7 pictures cannot be read: a/000.png, a/001.png, " in text
        assert "a/004.png and 2 more (its content is no picture)." in text
        assert "--skip_bad" not in text


def test_some_pictures_damaged(root, capsys):
    save_all(root, _names("a", "b"))
    (root / "a/003.png").write_bytes(b"")
    (root / "b/bad\nname.png").write_text("a text")
    text = _refusal(root)
    assert "2 of 21 pictures cannot be read: a/003.png (an empty file); b/bad\\nname.png" in text
    assert text.endswith("or give --skip_bad.")
    capsys.readouterr()
    dataset = _load(root, skip_bad=True)
    assert len(dataset.train.images) + len(dataset.test.images) == 19
    said = "2 of 21 pictures cannot be read and are left out: a/003.png (an empty file); and 1 more"
    assert said in capsys.readouterr().out
    assert dataset.class_names == ("a", "b")


def test_class_of_nothing_but_damaged_pictures_is_no_class(root):
    save_all(root, _names("a", "c"))
    save(root / "b/1.png", pixels_of(0)).write_bytes(b"")
    dataset = _load(root, skip_bad=True)
    assert dataset.class_names == ("a", "c") and set(dataset.train.labels) == {0, 1}


@pytest.mark.parametrize("part", ["train", "test"])
def test_split_of_nothing_but_damaged_pictures(root, part):
    save_all(root, _names("train", "test"))
    for number in range(10):
        (root / part / f"{number:03}.png").write_bytes(b"")
    assert f"none of its pictures for {part}ing can be read" in _refusal(root, skip_bad=True)


def test_skip_bad_with_nothing_bad_is_silent(root, capsys):
    save_all(root, _names("a", "b"))
    _load(root, skip_bad=True)
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == ""


def test_link_that_leads_back_up(root):
    save_all(root, _names("a", "b"))
    (root / "a/up").symlink_to(root)
    assert len(_load(root).train.images) == 18


def test_folder_without_read_permission(root, monkeypatch):
    save_all(root, _names("a", "secret"))
    scandir = os.scandir

    def refuse(path):
        if b"secret" in path:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert "secret/: cannot be read (Permission denied)" in _refusal(root)


def test_all_kinds_of_names(root):
    names = ["a b/1 2.png", "new\nline/x\ny.png", "猫/кошка.png", "A/a.png", "a/A.png", "a/a.png"]
    saved = save_all(root, names)
    dataset = _load(root)
    assert _rows(dataset.train.images) | _rows(dataset.test.images) == _rows(
        np.stack(list(saved.values()))
    )
    assert set(dataset.class_names) == {"a b", "new\\nline", "猫", "A", "a"}


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_pictures_smaller_than_the_size_asked_for(root, fit):
    save_all(root, _names("a"), height=5, width=3)
    dataset = _load(root, image_size="64x48", fit=fit)
    assert dataset.image_shape == (64, 48, 1) and dataset.train.images.std() > 10


def test_ten_thousand_classes(root):
    """Links, because 10,000 files would take longer."""
    save_all(root, ["../elsewhere/1.png"])
    for number in range(10_000):
        (root / f"class{number}").symlink_to("../elsewhere")
    dataset = _load(root)
    assert len(dataset.class_names) == 10_000 and len(dataset.test.images) == 1000
    assert np.bincount(dataset.train.labels, minlength=10_000).max() == 1


def test_empty_class_folder(root, capsys):
    save_all(root, _names("a", "c"))
    (root / "b").mkdir()
    dataset = _load(root)
    assert dataset.class_names == ("a", "c")
    assert capsys.readouterr().err.count("warning: No pictures are in b") == 1


def test_test_images_of_a_class_that_training_lacks(root, capsys):
    save_all(root, [*_names("train/a", "train/c"), *_names("test/a", "test/b", count=3)])
    dataset = _load(root)
    assert dataset.class_names == ("a", "b", "c")
    assert set(dataset.train.labels) == {0, 2} and set(dataset.test.labels) == {0, 1}
    warned = capsys.readouterr().err
    assert warned == (
        "warning: No image for training is of these classes of the test images: b. No image for "
        "testing is of these classes: c.\n"
    )


def test_three_channels_of_grey_pictures(root):
    save_all(root, _names("a"))
    dataset, grey = _load(root, channels=3), _load(root)
    assert dataset.image_shape == (8, 8, 3) and grey.image_shape == (8, 8, 1)
    np.testing.assert_array_equal(dataset.train.images, np.repeat(grey.train.images, 3, axis=-1))


def test_pipes_and_sockets(root, monkeypatch):
    save_all(root, _names("a"))
    os.mkfifo(root / "a/pipe.png")
    monkeypatch.chdir(root / "a")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
        assert len(_load(root).train.images) == 9


def test_several_sizes(root):
    save_all(root, ["a.png", "b.png"])
    save(root / "c.png", pixels_of(0, 9, 9))
    assert "8x8 (2), 9x9 (1). Give --image_size=64" in _refusal(root)


def test_home_directory(root, monkeypatch):
    save_all(root, _names("a"))
    monkeypatch.setenv("HOME", str(root.parent))
    assert folder.load("~/pictures", 0, READING).name == "pictures"
