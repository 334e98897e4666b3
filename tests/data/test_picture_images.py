import numpy as np
import pytest
from folder_helpers import pixels_of, save, save_all

from cvae_tf.core.errors import UserError
from cvae_tf.data.folder_listing import list_pictures
from cvae_tf.data.picture_images import PictureImages
from cvae_tf.data.pictures import Form


@pytest.fixture
def saved(tmp_path):
    names = [f"{number:02}.png" for number in range(10)]
    return np.stack(list(save_all(tmp_path, names, channels=3).values()))


def _images(root, numbers):
    return PictureImages(list_pictures(root), np.array(numbers), Form(), (8, 8, 3))


@pytest.mark.parametrize(
    "index",
    [slice(None), slice(1, 3), slice(0, 0), np.array([3, 3, 0]), np.array([[0, 1], [2, 3]])],
    ids=str,
)
def test_indices_are_those_of_an_array(tmp_path, saved, index):
    numbers = [9, 0, 4, 5, 6]
    images = _images(tmp_path, numbers)
    assert images.shape == (5, 8, 8, 3) and len(images) == 5 and images.dtype == np.uint8
    np.testing.assert_array_equal(images[index], saved[numbers][index])


@pytest.mark.parametrize("count", [1, 10])
def test_files_that_vanish_or_break_or_change_are_named(tmp_path, saved, count):
    images = _images(tmp_path, range(10))
    path = tmp_path / "00.png"
    for change, message in (
        (lambda: save(path, pixels_of(0, 9, 9, 3)), "has become another one"),
        (lambda: save(path, pixels_of(0)), "has become another one"),
        (lambda: path.write_bytes(path.read_bytes()[:50]), "cannot be read any more"),
        (path.unlink, "cannot be read any more .No such file"),
    ):
        change()
        with pytest.raises(UserError, match=f"00.png: .*{message}"):
            images[:count]
    np.testing.assert_array_equal(images[1:], saved[1:])
