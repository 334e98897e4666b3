import dataclasses
import json

import imageio.v3 as iio
import numpy as np
import pytest
from folder_helpers import expand
from PIL import Image

from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import fingerprint, load_dataset, margin_brightness
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

FIT = Fit((28, 28, 1))


@pytest.fixture
def grey(digits):
    return digits.test.images[:4, ..., 0]


def _write(folder, images):
    folder.mkdir()
    for number, image in enumerate(images):
        iio.imwrite(folder / f"{number}.png", image)
    return folder


def test_folder_is_read_in_the_order_of_names(tmp_path, grey):
    folder = _write(tmp_path / "images", grey)
    (folder / "notes.txt").write_text("not an image")
    images = read_images(folder, FIT)
    np.testing.assert_allclose(images.pixels[..., 0], grey / 255, atol=1e-6)
    assert images.names == ["0.png", "1.png", "2.png", "3.png"] and images.labels is None


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
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        iio.imwrite(path, image)
    images = read_images(tmp_path, FIT)
    found = dict(zip(images.names, images.shown_labels.tolist(), strict=True))
    wanted = [expand(names)[row] for row in taken]
    assert found == dict(zip(wanted, labels, strict=True)) and images.names == sorted(wanted)
    assert images.origin == f"{what} of {tmp_path}"


def test_one_picture_is_a_batch_of_one(tmp_path, grey):
    folder = _write(tmp_path / "images", grey)
    images = read_images(folder / "2.png", FIT)
    np.testing.assert_allclose(images.pixels[0, ..., 0], grey[2] / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [(("x_train", "x_test"), "x_test"), (("x_train",), "x_train"), (("images",), "images")],
)
def test_npz_gives_its_test_images_first(tmp_path, grey, names, chosen):
    arrays = {name: grey if name == chosen else grey[::-1] for name in names}
    labels = {"x_test": "y_test", "x_train": "y_train", "images": "labels"}
    np.savez(tmp_path / "a.npz", **arrays, **{labels[chosen]: np.arange(4)})
    images = read_images(tmp_path / "a.npz", FIT)
    np.testing.assert_allclose(images.pixels[..., 0], grey / 255, atol=1e-6)
    assert images.labels.tolist() == [0, 1, 2, 3] and images.names == ["0", "1", "2", "3"]


def test_colour_pictures_become_grey_for_a_grey_model(tmp_path, grey):
    folder = _write(tmp_path / "images", np.repeat(grey[..., None], 3, axis=-1))
    np.testing.assert_allclose(read_images(folder, FIT).pixels[..., 0], grey / 255, atol=0.005)


def test_own_images_are_the_test_images_of_the_training_data(digits):
    from conftest import METADATA

    images = read_own_images(METADATA, FIT)
    np.testing.assert_allclose(images.pixels, digits.test.images / 255, atol=1e-6)
    np.testing.assert_array_equal(images.labels, digits.test.labels)


def test_own_images_have_the_names_of_their_classes(tmp_path, grey):
    path = str(tmp_path / "a.npz")
    np.savez(path, x_train=grey, x_test=grey, y_test=["b", "a", "a", "c"])
    data = {"name": "a.npz", "sha256": fingerprint(load_npz(path))}
    images = read_own_images({"data": data, "config": {"data_path": path, "seed": 0}}, FIT)
    assert images.class_names == ("a", "b", "c") and images.labels.tolist() == [1, 0, 0, 2]


def test_own_images_must_be_those_of_the_training(tmp_path):
    path = tmp_path / "a.npz"
    images = np.zeros((6, 8, 8), np.uint8)
    np.savez(path, x_train=images, x_test=images)
    metadata = {"config": {"data_path": str(path), "seed": 0}, "data": {"name": "a.npz"}}
    metadata["data"]["sha256"] = fingerprint(load_npz(path))
    assert len(read_own_images(metadata, FIT).pixels) == 6
    np.savez(path, x_train=images, x_test=images + 9)
    with pytest.raises(UserError, match="not those of the training"):
        read_own_images(metadata, FIT)


def test_model_without_a_past_needs_a_path():
    with pytest.raises(UserError, match="give --data_path"):
        read_own_images({}, FIT)


def test_dark_on_white_is_refused_inverted_or_taken_as_asked(tmp_path, grey):
    folder = _write(tmp_path / "images", 255 - grey)
    with pytest.raises(UserError, match=r"images seems to be dark on white.*--invert, or --noinv"):
        read_images(folder, FIT)
    inverted = read_images(folder, FIT._replace(invert=True)).pixels[..., 0]
    np.testing.assert_allclose(inverted, grey / 255, atol=1e-6)
    as_is = read_images(folder, FIT._replace(invert=False)).pixels[..., 0]
    np.testing.assert_allclose(as_is, 1 - grey / 255, atol=1e-6)


def test_other_sizes_are_fitted_into_margins_if_the_training_had_arrays(tmp_path):
    wide = np.zeros((1, 56, 112), np.uint8)
    wide[:, 20:36, 40:72] = 255
    np.savez(tmp_path / "a.npz", x_test=wide)
    fitted = read_images(tmp_path / "a.npz", FIT).pixels[0, ..., 0]
    assert fitted.shape == (28, 28)
    rows, columns = np.where(fitted > 0.5)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (12, 15, 10, 17)


def test_margins_of_inverted_images_are_black(tmp_path):
    paper = np.full((1, 28, 56), 255, np.uint8)
    paper[:, 8:20, 20:36] = 0
    np.savez(tmp_path / "a.npz", x_test=paper)
    fitted = read_images(tmp_path / "a.npz", Fit((28, 28, 1), invert=True)).pixels
    assert fitted[0, 0].max() == 0 and fitted[0, 14, 14, 0] > 0.99


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.png", None, "no such file"),
        ("bad.png", b"not a picture", "cannot be read as a picture"),
        ("bad.npz", b"not an archive", "not an .npz file"),
        ("folder", "folder", "holds no pictures"),
    ],
)
def test_what_holds_no_images_is_refused(tmp_path, name, content, message):
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_images(path, FIT)


def test_npz_without_images_or_with_other_labels_is_refused(tmp_path, grey):
    np.savez(tmp_path / "a.npz", pixels=grey)
    with pytest.raises(UserError, match="holds no array x_test, x_train or images"):
        read_images(tmp_path / "a.npz", FIT)
    np.savez(tmp_path / "b.npz", x_test=grey, y_test=np.arange(3))
    with pytest.raises(UserError, match="one label for each of the 4 images"):
        read_images(tmp_path / "b.npz", FIT)


def test_channels_must_agree(tmp_path, grey):
    np.savez(tmp_path / "a.npz", x_test=np.repeat(grey[..., None], 3, axis=-1))
    with pytest.raises(UserError, match="has 3 channels; the model takes 1"):
        read_images(tmp_path / "a.npz", FIT)


# How images look, and how those of the model do


def _own_file(path, images, **data):
    """Writes images as a model's own data; returns the `model.json` of that model."""
    np.savez(path, x_train=images, x_test=images)
    config = {"data_path": str(path), "seed": 0}
    return {"config": config, "data": {"name": path.name, "key": None, **data}}


def test_own_images_are_never_refused_for_their_margins(tmp_path, grey):
    """Also not those of a model of an older version, which does not know its margins."""
    paper = 255 - grey
    for data in ({}, {"margin_brightness": 1.0}, {"margin_brightness": 0.0}):
        metadata = _own_file(tmp_path / "paper.npz", paper, **data)
        images = read_asked_for(ImageSettings(), (28, 28, 1), metadata)
        np.testing.assert_allclose(images.pixels[..., 0], paper / 255, atol=1e-6)
        assert images.origin == "paper.npz test"


def test_own_images_are_inverted_if_asked_for(tmp_path, grey):
    metadata = _own_file(tmp_path / "paper.npz", 255 - grey, margin_brightness=1.0)
    images = read_asked_for(ImageSettings(invert=True), (28, 28, 1), metadata)
    np.testing.assert_allclose(images.pixels[..., 0], grey / 255, atol=1e-6)
    assert images.origin == "paper.npz test, inverted"


@pytest.mark.parametrize("invert", [None, True, False])
@pytest.mark.parametrize(
    ("own", "given_inverted", "refusal"),
    [
        ({}, False, None),
        ({}, True, "to be dark on white, and the model knows white on black; give --invert"),
        (0.0, False, None),
        (0.0, True, "to be dark on white, and the model knows white on black; give --invert"),
        (1.0, False, "to be white on black, and the model knows dark on white; give --invert"),
        (1.0, True, None),
        (0.5, False, None),
        (0.5, True, None),
    ],
)
def test_images_are_compared_with_those_of_the_model(
    tmp_path, grey, own, given_inverted, refusal, invert
):
    given = 255 - grey if given_inverted else grey
    np.savez(tmp_path / "given.npz", x_test=given)
    metadata = {"data": own if own == {} else {"margin_brightness": own}}
    settings = ImageSettings(data_path=str(tmp_path / "given.npz"), invert=invert)
    if refusal and invert is None:
        with pytest.raises(UserError, match=f"given.npz: x_test seems {refusal}.*--noinvert"):
            read_asked_for(settings, (28, 28, 1), metadata)
        return
    pixels = read_asked_for(settings, (28, 28, 1), metadata).pixels[..., 0]
    np.testing.assert_allclose(pixels, (255 - given if invert else given) / 255, atol=1e-6)


def test_photographs_with_bright_and_dark_margins_are_taken_by_a_model_of_photographs(tmp_path):
    photographs = np.random.default_rng(0).integers(0, 256, (40, 8, 8)).astype(np.uint8)
    margins = margin_brightness(photographs[..., None])
    for part in (photographs // 2, 255 - photographs // 2):
        np.savez(tmp_path / "part.npz", images=part)
        read_images(tmp_path / "part.npz", Fit((8, 8, 1), margins=margins))


@pytest.mark.parametrize("value", [None, "bright", [1.0], float("nan")])
def test_nonsense_about_the_margins_does_no_harm(tmp_path, grey, value):
    np.savez(tmp_path / "given.npz", x_test=grey)
    settings = ImageSettings(data_path=str(tmp_path / "given.npz"))
    images = read_asked_for(settings, (28, 28, 1), {"data": {"margin_brightness": value}})
    assert len(images.pixels) == 4


def test_images_of_another_form_get_margins_like_those_of_the_model(tmp_path, grey):
    tall = np.zeros((1, 56, 28), np.uint8)
    tall[:, 14:42] = grey[0]
    np.savez(tmp_path / "tall.npz", images=tall)
    np.savez(tmp_path / "paper.npz", images=255 - tall)
    black = read_images(tmp_path / "tall.npz", Fit((28, 28, 1))).pixels
    fit = Fit((28, 28, 1), margins=0.98)
    white = read_images(tmp_path / "paper.npz", fit).pixels
    assert np.all(black[:, :, :7] == 0) and black.max() > 0.5
    assert np.all(white[:, :, :7] == 1)
    np.testing.assert_allclose(white, 1 - black, atol=1e-6)


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
    folder.mkdir(parents=True)
    for number in range(4):
        colours = rng.integers(0, 200, (rng.integers(9, 60), rng.integers(9, 60), 4))
        Image.fromarray(colours.astype(np.uint8)).save(folder / f"{number}.png")
    large = Image.fromarray(rng.integers(0, 256, (300, 400, 3)).astype(np.uint8))
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
def test_a_folder_given_back_is_what_the_training_saw(tmp_path, name, capsys):
    dataset, metadata = _dataset_and_metadata(tmp_path / "mine", SETTINGS[name])
    settings = ImageSettings(data_path=str(tmp_path / "mine"), invert=False)
    given = read_asked_for(settings, dataset.image_shape, metadata).pixels
    np.testing.assert_array_equal(given, dataset.test.images.astype(np.float32) / 255)
    assert "images:  test pictures of" in capsys.readouterr().out


def test_what_older_versions_recorded_of_pictures_is_enough(tmp_path):
    dataset, metadata = _dataset_and_metadata(tmp_path / "mine", SETTINGS["margins, grey"])
    del metadata["data"]["pictures"]
    picture = tmp_path / "mine" / "test" / "0.png"
    given = read_images(picture, fit_of(metadata, dataset.image_shape, invert=False)).pixels
    np.testing.assert_array_equal(given[0], dataset.test.images[0].astype(np.float32) / 255)


def test_given_images_that_use_little_of_the_range_are_warned_of(tmp_path, grey, capsys):
    for images, warned in ((grey // 60, "levels from 0 to 4 of 0 to 255"), (grey, "")):
        np.savez(tmp_path / "a.npz", images=images)
        read_asked_for(ImageSettings(data_path=str(tmp_path / "a.npz")), (28, 28, 1), {})
        shown = capsys.readouterr().err
        assert warned in shown and bool(warned) == ("small part of the range" in shown)


@pytest.mark.parametrize(("pages", "count"), [("first", 1), ("all", 3)])
def test_pages_of_a_single_file_are_read_as_in_the_training(tmp_path, pages, count, capsys):
    frames = [Image.new("L", (8, 8), level) for level in (0, 100, 255)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    for path in (tmp_path / "a.tif", tmp_path):
        images = read_images(path, Fit((8, 8, 1), invert=False, pages=pages))
        wanted = np.array([0, 100, 255])[:count] / 255
        np.testing.assert_allclose(images.pixels[:, 0, 0, 0], wanted, atol=1e-6)
        assert images.names == ["a.tif"] * count
        assert ("2 more are left out" in capsys.readouterr().out) == (pages == "first")


# What is read, and what is said of it


def test_what_was_done_is_said_and_nothing_else(tmp_path, grey):
    def origin(name, **settings):
        settings = ImageSettings(data_path=str(tmp_path / name), **settings)
        return read_asked_for(settings, (28, 28, 1), {}).origin.replace(str(tmp_path), "HERE")

    np.savez(tmp_path / "a.npz", x_test=grey)
    assert origin("a.npz", invert=False) == "x_test of HERE/a.npz"
    np.savez(tmp_path / "b.npz", images=255 - np.pad(grey, [(0, 0), (2, 2), (6, 6)]))
    done = "images of HERE/b.npz, resized from 32 x 40, inverted"
    assert origin("b.npz", invert=True) == done
    folder = _write(tmp_path / "folder", [grey[0], grey[1, :20], grey[2, :25]])
    assert origin("folder") == "pictures of HERE/folder, resized from up to 25 x 28"
    iio.imwrite(folder / "0.png", grey[0])
    assert origin("folder/0.png") == "HERE/folder/0.png"


def test_folders_are_read_whatever_the_case_of_their_suffixes(tmp_path, grey):
    folder = _write(tmp_path / "images", grey[:3])
    (folder / "0.png").rename(folder / "0.PNG")
    iio.imwrite(folder / "3.JPEG", grey[3], extension=".jpeg")
    (folder / "._0.png").write_bytes(b"what some systems write beside a picture")
    (folder / "4.png").mkdir()
    images = read_images(folder, FIT)
    assert images.names == ["0.PNG", "1.png", "2.png", "3.JPEG"]
    np.testing.assert_allclose(images.pixels[:3, ..., 0], grey[:3] / 255, atol=1e-6)


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_paths_may_begin_with_the_home_directory(tmp_path, monkeypatch, grey, kind):
    from pathlib import Path

    monkeypatch.setenv("HOME", str(tmp_path))
    np.savez(tmp_path / "a.npz", images=grey)
    assert len(read_images(kind(Path("~/a.npz")), FIT).pixels) == 4


def test_labels_in_a_column_and_of_floats_are_labels_like_others(tmp_path, grey):
    np.savez(tmp_path / "a.npz", images=grey > 127, labels=np.array([[7.0], [1.0], [0.0], [7.0]]))
    images = read_images(tmp_path / "a.npz", FIT)
    assert images.labels.astype(str).tolist() == ["7", "1", "0", "7"]
    assert set(np.unique(images.pixels)) == {0.0, 1.0}


def test_own_images_that_are_gone_are_named_with_a_remedy(tmp_path):
    metadata = _own_file(tmp_path / "gone.npz", np.zeros((4, 8, 8), np.uint8))
    (tmp_path / "gone.npz").unlink()
    with pytest.raises(
        UserError, match="gone.npz: no such .*were moved.*\nTo take other .* --data_path"
    ):
        read_own_images(metadata, FIT)


def test_own_images_that_were_moved_are_known_again(tmp_path):
    metadata = _own_file(tmp_path / "gone.npz", np.arange(256, dtype=np.uint8).reshape(4, 8, 8))
    known = fingerprint(load_own(metadata))
    metadata["data"]["sha256"] = known
    (tmp_path / "gone.npz").rename(tmp_path / "here.npz")
    assert fingerprint(load_own(metadata, str(tmp_path / "here.npz"))) == known
    np.savez(tmp_path / "here.npz", x_train=np.zeros((4, 8, 8), np.uint8))
    with pytest.raises(UserError, match="here.npz: the images are not those of the training"):
        load_own(metadata, str(tmp_path / "here.npz"))


@pytest.mark.parametrize("name", ["photos.zip", "photo.npz"])
def test_other_files_are_told_what_to_do(tmp_path, name):
    (tmp_path / name).write_bytes(b"Rar!")
    with pytest.raises(UserError, match=f"{name}: an archive; unpack it"):
        read_images(tmp_path / name, FIT)
    with pytest.raises(UserError, match=f"Did you mean .*{name}"):
        read_images(tmp_path / f"the_{name}", FIT)


def test_an_npy_of_images_is_read(tmp_path, grey):
    np.save(tmp_path / "a.npy", grey)
    images = read_images(tmp_path / "a.npy", FIT)
    np.testing.assert_array_equal(images.pixels[..., 0], grey.astype(np.float32) / 255)
    assert images.origin == f"images of {tmp_path / 'a.npy'}"


def test_pictures_cannot_have_two_channels(tmp_path, grey):
    folder = _write(tmp_path / "images", grey)
    with pytest.raises(UserError, match="images of 2 channels; give an .npz"):
        read_images(folder, Fit((28, 28, 2)))


def test_pictures_of_16_bits_are_scaled_and_not_cut_off(tmp_path):
    levels = np.linspace(0, 65535, 28 * 28).astype(np.uint16).reshape(28, 28)
    iio.imwrite(tmp_path / "deep.png", levels)
    pixels = read_images(tmp_path / "deep.png", FIT).pixels[0, ..., 0]
    np.testing.assert_allclose(pixels, levels / 65535, atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize(("margins", "invert", "paper"), [(0, None, 0), (1, None, 1), (0, True, 0)])
def test_transparent_pictures_lie_on_what_the_model_knows_around_things(
    tmp_path, margins, invert, paper
):
    picture = Image.new("LA", (28, 28), (128, 0))
    picture.save(tmp_path / "clear.png")
    fit = Fit((28, 28, 1), margins=margins, invert=invert)
    assert np.all(read_images(tmp_path / "clear.png", fit).pixels == paper)


def test_pictures_are_turned_as_the_camera_says(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # the top of what was seen is at the right
    levels = np.zeros((28, 28), np.uint8)
    levels[:, 20:] = 255
    Image.fromarray(levels).save(tmp_path / "turned.png", exif=exif)
    pixels = read_images(tmp_path / "turned.png", FIT).pixels[0, ..., 0]
    np.testing.assert_array_equal(pixels, np.rot90(levels, -1) / 255)


@pytest.mark.parametrize("name", ["a.bmp", "a.gif", "a.png", "a.tif", "a.webp"])
def test_pictures_of_all_kinds_are_read(tmp_path, name):
    picture = Image.fromarray(np.eye(28) > 0)  # of one bit a pixel
    for converted in (picture, picture.convert("P"), picture.convert("RGB")):
        converted.save(tmp_path / name, lossless=True)
        pixels = read_images(tmp_path / name, FIT).pixels
        np.testing.assert_array_equal(pixels[0, ..., 0], np.eye(28))


def test_labels_are_shown_by_their_names(tmp_path, grey):
    texts, numbers = ["dog", "cat", "cat", "ape"], [2, 1, 1, 0]
    named = {"labels": numbers, "class_names": ["ape", "cat", "dog"]}
    for arrays in ({"labels": texts}, named):
        np.savez(tmp_path / "a.npz", images=grey, **arrays)
        images = read_images(tmp_path / "a.npz", FIT)
        assert images.labels.tolist() == numbers
        assert images.class_names == ("ape", "cat", "dog")
        assert images.shown_labels.tolist() == texts
    np.savez(tmp_path / "a.npz", images=grey, labels=numbers)
    images = read_images(tmp_path / "a.npz", FIT)
    assert images.class_names is None and images.shown_labels.tolist() == numbers
    np.savez(tmp_path / "a.npz", images=grey)
    assert read_images(tmp_path / "a.npz", FIT).shown_labels is None
