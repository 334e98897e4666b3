import dataclasses
import json
import re

import numpy as np
import pytest
from conftest import PROJECT
from folder_helpers import expand, pixels_of, save
from PIL import Image

from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import fingerprint, load_dataset
from cvae_tf.data.given_images import (
    Fit,
    fit_of,
    load_own,
    read_asked_for,
    read_images,
    read_own_images,
)
from cvae_tf.data.own_file import load_npz
from cvae_tf.data.settings import ImageSettings
from cvae_tf.reading import ReadingSettings
from cvae_tf.training.run_directory import describe_data

SHAPE = (12, 12, 1)
FIT = Fit(SHAPE)


@pytest.fixture
def grey():
    """Four images of many levels in black margins, uint8 [4, 12, 12]."""
    inner = np.stack([pixels_of(number, 8, 8)[..., 0] for number in range(4)])
    return np.pad(inner, [(0, 0), (2, 2), (2, 2)])


def _write(folder, images):
    for number, image in enumerate(images):
        save(folder / f"{number}.png", np.atleast_3d(image))
    return folder


def _near(pixels, levels):
    np.testing.assert_allclose(pixels[..., 0], np.asarray(levels) / 255, atol=1e-6)


# What is read


def test_a_folder_gives_its_pictures_in_the_order_of_names(tmp_path, grey):
    folder = _write(tmp_path / "images", [*grey[:3], np.repeat(grey[3, ..., None], 3, axis=-1)])
    (folder / "1.png").rename(folder / "1.PNG")
    (folder / "notes.txt").write_text("not an image")
    (folder / "._0.png").write_bytes(b"what some systems write beside a picture")
    (folder / "4.png").mkdir()
    images = read_images(folder, FIT)
    _near(images.pixels, grey)
    assert images.names == ["0.png", "1.PNG", "2.png", "3.png"] and images.labels is None
    _near(read_images(folder / "2.png", FIT).pixels, grey[[2]])


@pytest.mark.parametrize(
    ("names", "taken", "labels", "what"),
    [
        ("x/{Training,Testing}/{b,a}/1.png", [2, 3], ["b", "a"], "test pictures"),
        ("x/y/{a,b}/1.png", [0, 1], ["a", "b"], "pictures"),
        ("one/{1,2}.png", [0, 1], ["one", "one"], "pictures"),  # which a model may know
        ("{images,masks}/{1,2}.png", [0, 1], ["images", "images"], "pictures"),
    ],
)
def test_folders_are_read_as_those_for_training(tmp_path, grey, names, taken, labels, what):
    for name, image in zip(expand(names), grey, strict=False):
        save(tmp_path / name, image[..., np.newaxis])
    images = read_images(tmp_path, FIT)
    found = dict(zip(images.names, images.shown_labels.tolist(), strict=True))
    wanted = [expand(names)[row] for row in taken]
    assert found == dict(zip(wanted, labels, strict=True)) and images.names == sorted(wanted)
    assert images.origin == f"{what} of {tmp_path}"


def test_a_file_of_arrays_gives_its_test_images_first(tmp_path, grey):
    for chosen, name_of_labels, others in (
        ("x_test", "y_test", ["x_train", "images"]),
        ("x_train", "y_train", ["images"]),
        ("images", "labels", []),
    ):
        arrays = {**dict.fromkeys(others, grey[::-1]), name_of_labels: np.arange(4)}
        np.savez(tmp_path / "a.npz", **arrays, **{chosen: grey})
        images = read_images(tmp_path / "a.npz", FIT)
        _near(images.pixels, grey)
        assert images.labels.tolist() == [0, 1, 2, 3] and images.names == ["0", "1", "2", "3"]
    np.save(tmp_path / "a.npy", grey)
    _near(read_images(tmp_path / "a.npy", FIT).pixels, grey)


def test_labels_are_shown_by_their_names(tmp_path, grey):
    texts, numbers = ["dog", "cat", "cat", "ape"], [2, 1, 1, 0]
    classes = ("ape", "cat", "dog")
    for arrays, names, shown in (
        ({"labels": texts}, classes, texts),
        ({"labels": numbers, "class_names": list(classes)}, classes, texts),
        ({"labels": numbers}, None, numbers),
    ):
        np.savez(tmp_path / "a.npz", images=grey, **arrays)
        images = read_images(tmp_path / "a.npz", FIT)
        assert images.labels.tolist() == numbers and images.class_names == names
        assert images.shown_labels.tolist() == shown
    np.savez(tmp_path / "a.npz", images=grey)
    assert read_images(tmp_path / "a.npz", FIT).shown_labels is None


ARRAYS = np.zeros((4, 12, 12), np.uint8)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.png", None, "no such file"),
        ("bad.png", b"not a picture", "cannot be read as a picture"),
        ("bad.npz", b"not an archive", "not an .npz file"),
        ("photos.zip", b"Rar!", "an archive; unpack it"),
        ("folder", "folder", "holds no pictures"),
        ("a.npz", {"pixels": ARRAYS}, "holds no array x_test, x_train or images"),
        ("a.npz", {"x_test": ARRAYS, "y_test": [1, 2]}, "one label for each of the 4 images"),
        ("a.npz", {"x_test": ARRAYS[..., None].repeat(3, -1)}, "3 channels; the model takes 1"),
    ],
)
def test_what_holds_no_images_that_fit_is_refused(tmp_path, name, content, message):
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif isinstance(content, dict):
        np.savez(path, **content)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_images(path, FIT)


def test_pictures_cannot_have_two_channels(tmp_path, grey):
    with pytest.raises(UserError, match="images of 2 channels; give an .npz"):
        read_images(_write(tmp_path / "images", grey), Fit((12, 12, 2)))


def test_what_was_done_is_said_and_home_may_be_short(tmp_path, grey, monkeypatch):
    def origin(name, **settings):
        settings = ImageSettings(data_path=f"~/{name}", **settings)
        return read_asked_for(settings, SHAPE, {}).origin.replace(str(tmp_path), "HERE")

    monkeypatch.setenv("HOME", str(tmp_path))
    np.savez(tmp_path / "a.npz", x_test=grey)
    assert origin("a.npz", invert=False) == "x_test of HERE/a.npz"
    np.savez(tmp_path / "b.npz", images=255 - np.pad(grey, [(0, 0), (2, 2), (6, 6)]))
    done = "images of HERE/b.npz, resized from 16 x 24, inverted"
    assert origin("b.npz", invert=True) == done
    _write(tmp_path / "folder", [grey[0], grey[1, :9], grey[2, :11]])
    assert origin("folder") == "pictures of HERE/folder, resized from up to 11 x 12"
    assert origin("folder/0.png") == "HERE/folder/0.png"


# The images of the training itself


@pytest.fixture
def own(tmp_path, grey):
    """The `model.json` of a model of dark images on white, and the path of its images."""
    path = tmp_path / "own.npz"
    np.savez(path, x_train=grey[::-1], x_test=255 - grey, y_test=["b", "a", "a", "c"])
    data = {"name": path.name, "key": None, "sha256": fingerprint(load_npz(path))}
    return {"config": {"data_path": str(path), "seed": 0}, "data": data}, path


def test_own_images_are_never_refused_for_their_margins(own, grey):
    """Also not those of a model of an older version, which does not know its margins."""
    metadata, _ = own
    for margins in ({}, {"margin_brightness": 1.0}, {"margin_brightness": 0.0}):
        metadata["data"].update(margins)
        images = read_asked_for(ImageSettings(), SHAPE, metadata)
        _near(images.pixels, 255 - grey)
        assert images.class_names == ("a", "b", "c") and images.labels.tolist() == [1, 0, 0, 2]
        assert images.origin == "own.npz test"
    images = read_asked_for(ImageSettings(invert=True), SHAPE, metadata)
    _near(images.pixels, grey)
    assert images.origin == "own.npz test, inverted"


def test_own_images_are_known_again_elsewhere_and_others_are_refused(own, tmp_path, grey):
    metadata, path = own
    path.rename(tmp_path / "here.npz")
    moved = load_own(metadata, str(tmp_path / "here.npz"))
    assert fingerprint(moved) == metadata["data"]["sha256"]
    remedy = "own.npz: no such .*were moved.*\nTo take other .* --data_path"
    with pytest.raises(UserError, match=remedy):
        read_own_images(metadata, FIT)
    np.savez(path, x_train=grey, x_test=grey)
    with pytest.raises(UserError, match="own.npz: the images are not those of the training"):
        read_own_images(metadata, FIT)
    with pytest.raises(UserError, match="give --data_path"):
        read_own_images({}, FIT)


# How images look, and how those of the model do


@pytest.mark.parametrize("invert", [None, True, False])
@pytest.mark.parametrize(
    ("margins", "given_inverted", "refusal"),
    [
        (None, False, None),
        (None, True, "to be dark on white, and the model knows white on black; give --invert"),
        (0.0, False, None),
        (0.0, True, "to be dark on white, and the model knows white on black; give --invert"),
        (1.0, False, "to be white on black, and the model knows dark on white; give --invert"),
        (1.0, True, None),
        (0.5, False, None),
        (0.5, True, None),
        ("bright", False, None),
    ],
)
def test_images_are_compared_with_those_of_the_model(
    tmp_path, grey, margins, given_inverted, refusal, invert
):
    given = 255 - grey if given_inverted else grey
    np.savez(tmp_path / "given.npz", x_test=given)
    metadata = {"data": {} if margins is None else {"margin_brightness": margins}}
    settings = ImageSettings(data_path=str(tmp_path / "given.npz"), invert=invert)
    if refusal and invert is None:
        with pytest.raises(UserError, match=f"given.npz: x_test seems {refusal}.*--noinvert"):
            read_asked_for(settings, SHAPE, metadata)
        return
    _near(read_asked_for(settings, SHAPE, metadata).pixels, 255 - given if invert else given)


@pytest.mark.parametrize(("margins", "invert", "paper"), [(0, None, 0), (1, None, 1), (0, True, 0)])
def test_margins_and_what_is_transparent_are_as_the_model_knows_them(
    tmp_path, margins, invert, paper
):
    fit = Fit(SHAPE, margins=margins, invert=invert)
    Image.new("LA", (12, 12), (128, 0)).save(tmp_path / "clear.png")
    assert np.all(read_images(tmp_path / "clear.png", fit).pixels == paper)
    tall = np.zeros((1, 24, 12), np.uint8)
    tall[:, 6:18, 2:10] = 255
    is_given_dark = paper if invert is None else 1 - paper
    np.savez(tmp_path / "tall.npz", images=255 - tall if is_given_dark else tall)
    pixels = abs(paper - read_images(tmp_path / "tall.npz", fit).pixels[0, ..., 0])
    assert np.all(pixels[:, [0, 1, 2, 9, 10, 11]] == 0)
    rows, columns = np.where(pixels > 0.5)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (3, 8, 4, 7)


def test_given_images_that_use_little_of_the_range_are_warned_of(tmp_path, grey, capsys):
    for images, warned in ((grey // 60, "levels from 0 to 4 of 0 to 255"), (grey, "")):
        np.savez(tmp_path / "a.npz", images=images)
        read_asked_for(ImageSettings(data_path=str(tmp_path / "a.npz")), SHAPE, {})
        shown = capsys.readouterr().err
        assert warned in shown and bool(warned) == ("small part of the range" in shown)


# Pictures are read as those of the training were


SETTINGS = {
    "cut": {"image_size": "12x10"},
    "margins, grey": {"image_size": "12", "fit": "pad", "background": 70, "channels": 1},
    "stretched": {"image_size": "9x12", "fit": "stretch"},
    "white level": {"image_size": "12", "white_level": "100"},
    "the largest level": {"image_size": "12", "white_level": "auto"},
    "pages": {"image_size": "12", "pages": "all"},
    "bad ones left out": {"image_size": "12", "skip_bad": True},
}


def _odd_pictures(folder, seed, skip_bad=False):
    """Pictures of many sizes and kinds: transparent, of 12 bits in 16, lying, in pages."""
    rng = np.random.default_rng(seed)
    for number in range(4):
        height, width = rng.integers(9, 60, 2)
        save(folder / f"{number}.png", pixels_of(9 * seed + number, height, width, 4))
    large = Image.fromarray(pixels_of(seed, 80, 100, 3))
    exif = Image.Exif()
    exif[274] = 6
    large.save(folder / "lying.jpg", exif=exif)
    large.resize((20, 30)).save(folder / "b.tif", save_all=True, append_images=[large.copy()])
    Image.fromarray(rng.integers(0, 4096, (30, 20)).astype(np.uint16)).save(folder / "deep.png")
    if skip_bad:
        (folder / "bad.png").write_text("no picture")


def _dataset_and_metadata(folder, settings):
    """What a training saw of a folder, and what `model.json` says of it."""
    reading = ReadingSettings(**settings)
    for seed, part in enumerate(("train", "test")):
        _odd_pictures(folder / part, seed, reading.skip_bad)
    dataset = load_dataset(data_path=folder, reading=reading)
    config = {**dataclasses.asdict(reading), "data_path": str(folder)}
    return dataset, json.loads(json.dumps({"data": describe_data(dataset), "config": config}))


@pytest.mark.parametrize("name", SETTINGS)
def test_a_folder_given_back_is_what_the_training_saw(tmp_path, name, capsys, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    dataset, metadata = _dataset_and_metadata(tmp_path / "mine", SETTINGS[name])
    settings = ImageSettings(data_path=str(tmp_path / "mine"), invert=False)
    given = read_asked_for(settings, dataset.image_shape, metadata).pixels
    np.testing.assert_array_equal(given, dataset.test.images.astype(np.float32) / 255)
    assert "images:  test pictures of" in capsys.readouterr().out
    if name == "margins, grey":
        del metadata["data"]["pictures"]  # which older versions did not record
        older = read_images(settings.data_path, fit_of(metadata, dataset.image_shape, False))
        np.testing.assert_array_equal(older.pixels[:4], given[:4])


@pytest.mark.parametrize(("pages", "count"), [("first", 1), ("all", 3)])
def test_pages_of_a_single_file_are_read_as_in_the_training(tmp_path, pages, count, capsys):
    frames = [Image.new("L", (8, 8), level) for level in (0, 100, 255)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    for path in (tmp_path / "a.tif", tmp_path):
        images = read_images(path, Fit((8, 8, 1), invert=False, pages=pages))
        _near(images.pixels[:, 0, 0], [0, 100, 255][:count])
        assert images.names == ["a.tif"] * count
        assert ("2 more are left out" in capsys.readouterr().out) == (pages == "first")


def test_documented_lines_prepare_a_picture_as_the_training_does(tmp_path, monkeypatch):
    serving = (PROJECT / "docs" / "serving.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```python\n([^`]*picture\.jpg[^`]*)```", serving)
    exif = Image.Exif()
    exif[274] = 6
    save(tmp_path / "picture.jpg", pixels_of(0, 300, 200, 3), exif=exif)
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(lines, found)
    metadata = {"config": {"image_size": "64", "data_path": "a folder"}}
    given = read_images("picture.jpg", fit_of(metadata, (64, 64, 3))).pixels
    np.testing.assert_array_equal(found["images"], given)
