"""Data sets from folders of pictures, as the training gets them."""

import numpy as np
import pytest
from folder_helpers import expand, pixels_of, save, save_all
from helpers import run_script
from PIL import Image

from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import fingerprint
from cvae_tf.data.inspection import margin_brightness
from cvae_tf.data.loading import load_dataset
from cvae_tf.data.pictures import ReadingSettings


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "pictures"


def _load(root, seed=0, **reading):
    return load_dataset("", root, seed, ReadingSettings(**reading))


def _images(dataset):
    return np.concatenate([dataset.train.images[:], dataset.test.images[:]])


def _rows(images):
    """The images as a set."""
    return {image.tobytes() for image in images[:]}


def _save_deep(root, largest, num=4):
    """Pictures of 16 bits whose largest level is this one; returns their levels [N, H, W]."""
    levels = np.random.default_rng(0).integers(0, largest + 1, (num, 8, 8)).astype(np.uint16)
    levels[-1, 0, 0] = largest
    for number, each in enumerate(levels):
        save(root / f"069x{number}.png", each[..., np.newaxis])
    return levels


@pytest.mark.parametrize(
    ("largest", "white", "bits"),
    [(255, 255, 8), (256, 1023, 10), (3000, 4095, 12), (4096, 16383, 14), (16384, 65535, None)],
)
def test_bits_that_16_bit_pictures_use_are_found_and_said(root, largest, white, bits, capsys):
    levels = _save_deep(root, largest)
    dataset = _load(root)
    assert _rows(_images(dataset)) == _rows(np.rint(levels / white * 255).astype(np.uint8))
    said = f"no picture of 16 bits uses more than {bits} of them, so the level {white} is white"
    assert (said in capsys.readouterr().out) == (bits is not None)
    assert dataset.form.deep_white_level == white


def test_one_deep_picture_among_flat_ones_is_found_wherever_it_is(root):
    """It is not among the pictures that are looked at first; floats and 8 bits do not count."""
    flat = save_all(root, [f"{number:03}.png" for number in range(72)])
    deep = np.rint(_save_deep(root, 4095, num=1) / 4095 * 255).astype(np.uint8)
    Image.fromarray(np.eye(8, dtype=np.float32)).save(root / "float.tif")
    assert _rows(_images(_load(root))) == _rows([*flat.values(), deep, 255 * np.eye(8, dtype="u1")])


@pytest.mark.parametrize(("white_level", "white"), [("4", 4), ("auto", 3), (None, 255), ("3.0", 3)])
def test_white_level_is_that_of_all_pictures_where_they_can_be_seen(root, white_level, white):
    for number in range(4):
        drawn = np.full((8, 8, 2), (number, 255), np.uint8)
        drawn[number] = (200, 0)
        save(root / f"{number}.png", drawn)
    images = _images(_load(root, white_level=white_level, background=9))
    assert 9 in images[:, :4]  # which is as it was asked for
    levels = np.unique(images[:, 5:]).tolist()
    assert levels == [round(255 * min(number / white, 1)) for number in range(4)]


def test_pages_are_left_out_and_it_is_said_or_each_is_an_image(root, capsys):
    pages = [Image.fromarray(pixels_of(number)[..., 0]) for number in range(5)]
    save(root / "a.png", pixels_of(9))
    pages[0].save(root / "b.tif", save_all=True, append_images=pages[1:])
    assert len(_images(_load(root))) == 2
    shown = capsys.readouterr().out
    assert "the first one is used; 4 more are left out (--pages=all" in shown
    assert "smaller" not in shown
    _load(root, image_size="8x12")
    assert "2 of 2 pictures are smaller than 8x12; enlarging" in capsys.readouterr().out
    seen = _rows(_images(_load(root, pages="all")))
    assert seen == {pixels_of(number).tobytes() for number in (0, 1, 2, 3, 4, 9)}
    assert "left out" not in capsys.readouterr().out


def test_folders_are_splits_and_classes(root, monkeypatch, capsys):
    names = expand("train/cat/1.png train/dog/{2,3}.png val/{cat,dog}/4.png")
    images = list(save_all(root, names, channels=3).values())
    (root / "labels.csv").touch()
    monkeypatch.setenv("HOME", str(root.parent))
    dataset = _load("~/pictures")
    np.testing.assert_array_equal(dataset.train.images, images[:3])
    np.testing.assert_array_equal(dataset.test.images, images[3:])
    assert dataset.class_names == ("cat", "dog") and dataset.image_shape == (8, 8, 3)
    assert dataset.train.labels.tolist() == [0, 1, 1] and dataset.test.labels.tolist() == [0, 1]
    assert dataset.train.labels.dtype == np.int64
    assert dataset.name == '"pictures"' and dataset.key is None and capsys.readouterr().err == ""
    assert dataset.origin == (
        f"{root}, 5 pictures of 2 classes, 8 x 8 in colour, train/ for training, val/ for testing; "
        "left alone: 1 .csv."
    )


def test_one_class_is_none_and_masks_beside_it_are_said(root, capsys):
    save_all(root, [f"images/{number}.png" for number in range(30)])
    save(root / "masks/1.png", pixels_of(0, 9, 9))  # which is not decoded
    dataset = _load(root)
    assert dataset.train.labels is None and dataset.test.labels is None
    assert dataset.class_names is None and len(dataset.test.images) == 3
    said, warned = capsys.readouterr()
    assert said == f"{root}: all pictures are in images/, so there are no classes.\n"
    assert "1 files in masks are masks of the pictures" in warned


def test_a_tenth_of_each_class_is_held_out_by_the_seed_with_its_labels(root):
    tens = "{0,1,2,3,4,5,6,7,8,9}.png"
    saved = save_all(root, expand(f"few/{{0,1}}{tens} many/{{0,1,2,3}}{tens} one/0.png"))
    dataset, again, other = (_load(root, seed) for seed in (3, 3, 4))
    assert np.bincount(dataset.test.labels, minlength=3).tolist() == [2, 4, 0]
    assert np.bincount(dataset.train.labels).tolist() == [18, 36, 1]
    assert _rows(dataset.test.images) != _rows(other.test.images)
    assert len(_rows(_images(dataset))) == len(_images(dataset)) == 61
    assert dataset.sha256 == again.sha256 == fingerprint(dataset) != other.sha256
    assert dataset.margins == pytest.approx(margin_brightness(_images(dataset)), abs=1e-9)
    class_of = {pixels.tobytes(): name.partition("/")[0] for name, pixels in saved.items()}
    for images, labels in (dataset.train, dataset.test):
        for image, label in zip(images, labels, strict=True):
            assert dataset.class_names[label] == class_of[image.tobytes()]


@pytest.mark.parametrize(("sizes", "num_test"), [([1, 1, 3], 1), ([2] * 12, 2), ([1, 2, 30], 3)])
def test_the_last_picture_of_a_class_stays_for_training(root, sizes, num_test, capsys):
    save_all(root, [f"{kind}/{i}.png" for kind, size in enumerate(sizes) for i in range(size)])
    dataset = _load(root)
    assert len(dataset.test.images) == num_test
    assert set(dataset.train.labels) == set(range(len(sizes)))
    assert "No image for testing is of these classes: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("good", "bad", "skip_bad", "message"),
    [
        ("a.png", "", False, "holds one picture; at least 2 are needed"),
        ("", "{1,2,3}.png", True, "3 of 3 pictures cannot be read"),
        ("b/{1,2}.png", "a/1.png b/\udcff.png", False, "2 of 4 pictures cannot be read: a/1.png "
         "(its content is no picture that can be read), b/\\udcff.png (its content is no picture "
         "that can be read).\nMend or remove them, or give --skip_bad."),
        ("train/1.png", "test/1.png", True, "none of its pictures for testing can be read."),
    ],
)  # fmt: skip
def test_folders_of_which_no_data_set_can_be_made_are_refused(root, good, bad, skip_bad, message):
    save_all(root, expand(good))
    for name in save_all(root, expand(bad)):
        (root / name).write_bytes(b"no picture")
    with pytest.raises(UserError) as caught:
        _load(root, skip_bad=skip_bad)
    assert str(caught.value).startswith(f"{root}: {message}")


def test_bad_pictures_are_left_out_if_asked_for_and_so_are_classes_of_nothing_else(root, capsys):
    save_all(root, expand("{a,c}/{1,2,3,4,5,6}.png"))
    (root / "a/3.png").write_bytes(b"")
    save(root / "b/1.png", pixels_of(0)).write_text("a text")
    dataset = _load(root, skip_bad=True)
    assert len(_images(dataset)) == 11 and dataset.class_names == ("a", "c")
    assert set(dataset.train.labels) == {0, 1}
    assert "2 of 13 pictures cannot be read and are left out" in capsys.readouterr().out


@pytest.mark.slow
def test_script_trains_on_a_folder_of_colours(tmp_path):
    names = expand("{cat,dog}/{0,1,2,3,4,5,6,7,8,9}.png")
    save_all(tmp_path / "animals", names, height=12, width=12, channels=3)
    small = ["--epochs=1", "--latent_dim=2", "--network=mlp", "--hidden=8"]
    done = run_script("train.py", "--data_path=animals", *small, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for said in ("20 pictures of 2 classes", "photo, because the images have colours", "bits/dim"):
        assert said in done.stdout
