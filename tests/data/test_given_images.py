import dataclasses
import json

import numpy as np
import pytest
from folder_helpers import expand, pixels_of, save
from PIL import Image

from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import fingerprint, load_npz
from cvae_tf.data.given_images import Fit, read_asked_for, read_images
from cvae_tf.data.loading import load_dataset
from cvae_tf.data.pictures import ImageSettings, ReadingSettings
from cvae_tf.training.run_directory import describe_data

SHAPE = (12, 12, 1)
FIT = Fit(SHAPE)


@pytest.fixture
def grey():
    """Four images of many levels in black margins, uint8 [4, 12, 12]."""
    inner = np.stack([pixels_of(number, 8, 8)[..., 0] for number in range(4)])
    return np.pad(inner, [(0, 0), (2, 2), (2, 2)])


def _assert_levels(images, levels):
    np.testing.assert_allclose(images.pixels[..., 0], np.asarray(levels) / 255, atol=1e-6)


def test_a_folder_gives_its_pictures_in_the_order_of_names(tmp_path, grey):
    names = ["0.png", "1.PNG", "2.png", "3.png"]
    for name, image in zip(names, grey, strict=True):
        save(tmp_path / name, image[..., np.newaxis])
    (tmp_path / "notes.txt").write_text("not an image")
    images = read_images(tmp_path, FIT)
    _assert_levels(images, grey)
    assert images.names == names and images.labels is None
    _assert_levels(read_images(tmp_path / "2.png", FIT), grey[[2]])
    for name, image in zip(expand("x/{Training,Testing}/{a,b}/1.png"), grey, strict=True):
        save(tmp_path / name, image[..., np.newaxis])
    images = read_images(tmp_path / "x", FIT)  # as for training
    assert images.names == expand("Testing/{a,b}/1.png")
    assert images.shown_labels.tolist() == ["a", "b"]
    assert images.origin == f"test pictures of {tmp_path / 'x'}"


def test_a_file_of_arrays_gives_its_test_images_first(tmp_path, grey, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    named = {"class_names": ["ape", "cat"]}
    for chosen, others, labels, shown in (
        ("x_test", {"x_train": grey[::-1], "y_test": ["dog", "cat", "cat", "ape"]}, [2, 1, 1, 0],
         ["dog", "cat", "cat", "ape"]),
        ("x_train", {"images": grey[::-1], "y_train": [7, 0, 2, 1]}, [7, 0, 2, 1], [7, 0, 2, 1]),
        ("images", {"labels": [1, 0, 0, 1], **named}, [1, 0, 0, 1], ["cat", "ape", "ape", "cat"]),
    ):  # fmt: skip
        np.savez(tmp_path / "a.npz", **others, **{chosen: grey})
        images = read_images("~/a.npz", FIT)
        _assert_levels(images, grey)
        assert images.labels.tolist() == labels and images.shown_labels.tolist() == shown
    np.save(tmp_path / "a.npy", grey)
    images = read_images("~/a.npy", FIT)
    _assert_levels(images, grey)
    assert images.shown_labels is None


def test_what_holds_no_images_that_fit_is_refused(tmp_path):
    with pytest.raises(UserError, match="missing.png: no such file"):
        read_images(tmp_path / "missing.png", FIT)
    (tmp_path / "bad.png").touch()
    for channels, reason in ((1, "cannot be read as a picture"), (2, "images of 2 channels")):
        with pytest.raises(UserError, match=f"{tmp_path}.*: .*{reason}"):
            read_images(tmp_path, Fit((12, 12, channels)))
    zeros = np.zeros((4, 12, 12), np.uint8)
    for arrays, reason in (
        ({"pixels": zeros}, "holds no array x_test or x_train or images"),
        ({"x_test": zeros, "y_test": [1, 2]}, "one label for each of the 4 images"),
        ({"x_test": zeros.reshape(1, 12, 16, 3)}, "3 channels; the model takes 1"),
    ):
        np.savez(tmp_path / "a.npz", **arrays)
        with pytest.raises(UserError, match=reason):
            read_images(tmp_path / "a.npz", FIT)


def test_own_images_are_taken_as_they_are_or_inverted_but_no_others(tmp_path, grey):
    path = tmp_path / "own.npz"
    np.savez(path, x_train=grey[::-1], x_test=255 - grey, y_test=["b", "a", "a", "c"])
    data = {"name": path.name, "key": None, "sha256": fingerprint(load_npz(path))}
    metadata = {"config": {"data_path": str(path), "seed": 0}, "data": data}
    images = read_asked_for(ImageSettings(), SHAPE, metadata)  # whatever their margins
    _assert_levels(images, 255 - grey)
    assert images.class_names == ("a", "b", "c") and images.labels.tolist() == [1, 0, 0, 2]
    assert images.origin == '"own.npz" test'
    images = read_asked_for(ImageSettings(invert=True), SHAPE, metadata)
    _assert_levels(images, grey)
    assert images.origin == '"own.npz" test, inverted'
    path.unlink()
    remedy = "own.npz: no such .*were moved.*\nTo take other .* --data_path"
    with pytest.raises(UserError, match=remedy):
        read_asked_for(ImageSettings(), SHAPE, metadata)
    np.savez(path, x_train=grey, x_test=grey)
    with pytest.raises(UserError, match="own.npz: the images are not those of the training"):
        read_asked_for(ImageSettings(), SHAPE, metadata)
    with pytest.raises(UserError, match="give --data_path"):
        read_asked_for(ImageSettings(), SHAPE, {})


@pytest.mark.parametrize(
    ("margins", "is_paper", "refusal"),
    [
        (0.0, True, "dark on white, and the model knows white on black"),
        (1.0, False, "white on black, and the model knows dark on white"),
        (1.0, True, None),
        (0.5, True, None),
    ],
)
def test_images_are_compared_with_the_models(tmp_path, grey, margins, is_paper, refusal):
    given = 255 - grey if is_paper else grey
    np.savez(tmp_path / "given.npz", x_test=given)
    for invert in (None, True, False):
        settings = ImageSettings(data_path=str(tmp_path / "given.npz"), invert=invert)
        asked_for = settings, SHAPE, {"data": {"margin_brightness": margins}}
        if refusal and invert is None:
            said = f"given.npz: x_test: the images seem to be {refusal}; give --invert, or --noin"
            with pytest.raises(UserError, match=said):
                read_asked_for(*asked_for)
        else:
            _assert_levels(read_asked_for(*asked_for), 255 - given if invert else given)


@pytest.mark.parametrize(("margins", "invert", "paper"), [(0, None, 0), (1, None, 1), (0, True, 0)])
def test_margins_and_what_is_transparent_are_like_the_models(tmp_path, margins, invert, paper):
    fit = Fit(SHAPE, margins=margins, invert=invert)
    Image.new("LA", (12, 12), (128, 0)).save(tmp_path / "clear.png")
    assert np.all(read_images(tmp_path / "clear.png", fit).pixels == paper)
    is_white = margins == 1 or bool(invert)
    np.savez(tmp_path / "tall.npz", images=np.full((1, 24, 12), 255 * is_white, np.uint8))
    images = read_images(tmp_path / "tall.npz", fit)
    assert np.all(images.pixels == paper) and "resized from 24 x 12" in images.origin


def test_images_of_few_levels_or_of_the_training_are_warned_of(tmp_path, grey, capsys):
    path = str(tmp_path / "a.npy")
    own = {"config": {"data_path": path}, "data": {"test_images": 3}}
    for images, metadata, warned in (
        (grey // 60, {}, "part of the range: levels from 0 to 4"),
        (grey, own, "learned from most of these images; without --data_path the 3 held out"),
        (grey[:3], own, ""),
        (grey, {}, ""),
    ):
        np.save(path, images)
        read_asked_for(ImageSettings(data_path=path), SHAPE, metadata)
        shown = capsys.readouterr().err
        assert warned in shown and bool(warned) == bool(shown)


SETTINGS = {
    "cut": {"image_size": "12x10", "skip_bad": True},
    "margins, grey": {"image_size": "12", "fit": "pad", "background": 70, "channels": 1},
    "white level": {"image_size": "12", "fit": "stretch", "white_level": "100"},
    "the largest level": {"image_size": "12", "white_level": "auto", "pages": "all"},
}


def _save_odd_pictures(folder, seed, skip_bad):
    """Pictures of many sizes and kinds: transparent, of 12 bits in 16, lying, in pages."""
    rng = np.random.default_rng(seed)
    for number in range(4):
        height, width = rng.integers(9, 60, 2)
        save(folder / f"{number}.png", pixels_of(9 * seed + number, height, width, 4))
    large, exif = Image.fromarray(pixels_of(seed, 80, 100, 3)), Image.Exif()
    exif[274] = 6
    large.save(folder / "lying.jpg", exif=exif)
    large.resize((20, 30)).save(folder / "b.tif", save_all=True, append_images=[large.copy()])
    Image.fromarray(rng.integers(0, 4096, (30, 20)).astype(np.uint16)).save(folder / "deep.png")
    if skip_bad:
        (folder / "bad.png").write_text("no picture")


@pytest.mark.parametrize("name", SETTINGS)
def test_a_folder_given_back_is_what_the_training_saw(tmp_path, name, capsys, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    reading, folder = ReadingSettings(**SETTINGS[name]), tmp_path / "mine"
    for seed, part in enumerate(("train", "test")):
        _save_odd_pictures(folder / part, seed, reading.skip_bad)
    dataset = load_dataset(data_path=folder, reading=reading)
    config = {**dataclasses.asdict(reading), "data_path": str(folder), "seed": 0}
    metadata = json.loads(json.dumps({"data": describe_data(dataset), "config": config}))
    settings = ImageSettings(data_path=str(folder), invert=False)
    given = read_asked_for(settings, dataset.image_shape, metadata)
    np.testing.assert_array_equal(given.pixels, dataset.test.images.astype(np.float32) / 255)
    assert "images:  test pictures of" in capsys.readouterr().out
    names = [f"test/{each}" for each in ("0.png", "1.png", "2.png", "3.png", "b.tif")]
    names += ["test/b.tif, page 2"] * (reading.pages == "all") + ["test/deep.png", "test/lying.jpg"]
    own = read_asked_for(ImageSettings(), dataset.image_shape, metadata)
    assert own.names == given.names == names
