import imageio.v3 as iio
import numpy as np
import pytest

from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import fingerprint, load_npz
from cvae_tf.data.given_images import Fit, read_images, read_own_images

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


def test_own_images_must_be_those_of_the_training(tmp_path):
    path = tmp_path / "a.npz"
    images = np.zeros((6, 8, 8), np.uint8)
    np.savez(path, x_train=images, x_test=images)
    metadata = {"config": {"data_path": str(path), "seed": 0}, "data": {"name": "a.npz"}}
    metadata["data"]["sha256"] = fingerprint(load_npz(path))
    assert len(read_own_images(metadata, FIT._replace(resize=True)).pixels) == 6
    np.savez(path, x_train=images, x_test=images + 9)
    with pytest.raises(UserError, match="not those of the training"):
        read_own_images(metadata, FIT._replace(resize=True))


def test_model_without_a_past_needs_a_path():
    with pytest.raises(UserError, match="give --data_path"):
        read_own_images({}, FIT)


def test_dark_on_white_is_refused_inverted_or_taken_as_asked(tmp_path, grey):
    folder = _write(tmp_path / "images", 255 - grey)
    with pytest.raises(UserError, match=r"0.png seems to be dark on white.*--invert, or --noinv"):
        read_images(folder, FIT)
    inverted = read_images(folder, FIT._replace(invert=True)).pixels[..., 0]
    np.testing.assert_allclose(inverted, grey / 255, atol=1e-6)
    as_is = read_images(folder, FIT._replace(invert=False)).pixels[..., 0]
    np.testing.assert_allclose(as_is, 1 - grey / 255, atol=1e-6)


def test_other_sizes_are_refused_or_fitted_as_asked(tmp_path):
    wide = np.zeros((1, 56, 112), np.uint8)
    wide[:, 20:36, 40:72] = 255
    np.savez(tmp_path / "a.npz", x_test=wide)
    with pytest.raises(UserError, match="56 x 112 pixels; the model takes 28 x 28. Give --resize"):
        read_images(tmp_path / "a.npz", FIT)
    fitted = read_images(tmp_path / "a.npz", FIT._replace(resize=True)).pixels[0, ..., 0]
    assert fitted.shape == (28, 28)
    rows, columns = np.where(fitted > 0.5)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (12, 15, 10, 17)


def test_margins_of_inverted_images_are_black(tmp_path):
    paper = np.full((1, 28, 56), 255, np.uint8)
    paper[:, 8:20, 20:36] = 0
    np.savez(tmp_path / "a.npz", x_test=paper)
    fitted = read_images(tmp_path / "a.npz", Fit((28, 28, 1), resize=True, invert=True)).pixels
    assert fitted[0, 0].max() == 0 and fitted[0, 14, 14, 0] == 1


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
