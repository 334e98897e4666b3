import imageio.v3 as iio
import numpy as np
import pytest
from drawing_helpers import flat_images, noise_images
from PIL import Image

from cvae_tf.drawing import animations


def _frames(path, mode="L"):
    """All frames of an animation, and how long each is seen in milliseconds."""
    frames, durations = [], []
    with Image.open(path) as gif:
        assert gif.n_frames == 1 or gif.info["loop"] == 0
        for number in range(gif.n_frames):
            gif.seek(number)
            frames.append(np.asarray(gif.convert(mode)))
            durations.append(gif.info["duration"])
    return frames, durations


def _animated(directory, pictures, mode="L"):
    paths = [directory / f"{number}.png" for number in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        iio.imwrite(path, np.asarray(picture, np.uint8))
    animations.animate(paths, directory / "a.gif")
    return _frames(directory / "a.gif", mode)


def test_images_go_there_and_back_enlarged_by_a_whole_number(tmp_path):
    animations.save_animation(tmp_path / "a.gif", flat_images([0, 0.4, 1], 8, 8))
    frames, _ = _frames(tmp_path / "a.gif")
    assert [np.median(frame) for frame in frames] == [0, 102, 255, 102]
    assert {frame.shape for frame in frames} == {(224, 224)}
    animations.save_animation(tmp_path / "a.gif", noise_images(2, 9, 255, 3))
    assert [frame.shape for frame in _frames(tmp_path / "a.gif")[0]] == [(36, 1020)] * 2


@pytest.mark.parametrize(("num", "milliseconds"), [(1, 400), (11, 400), (100, 200)])
def test_pictures_are_all_there_in_order_and_the_last_is_held(tmp_path, num, milliseconds):
    levels = [2 * number + 10 for number in range(num)]
    frames, durations = _animated(tmp_path, [np.full((10, 12, 3), level) for level in levels])
    assert [frame[5, 5] for frame in frames] == levels
    assert durations == [milliseconds] * (num - 1) + [3000]


def test_smaller_pictures_get_white_about_them(tmp_path):
    (first, second), _ = _animated(tmp_path, [np.zeros((10, 20, 3)), np.zeros((16, 21, 3))])
    assert (first[3:13, :20] == 0).all() and (first == 255).sum() == 16 * 21 - 200
    assert second.shape == (16, 21) and (second == 0).all()


def test_coloured_pictures_keep_their_colours_and_their_white(tmp_path):
    picture = np.full((200, 300, 3), 255)
    y, x = np.mgrid[:160, :200]
    picture[20:180, 50:250] = np.stack([x, y, (x + y) // 2], axis=-1)
    picture[20:180:3, 50:250:3] = [252, 249, 250]  # nearly white
    (_, seen), _ = _animated(tmp_path, [np.full((200, 300, 3), (200, 0, 0)), picture], "RGB")
    error = np.abs(seen.astype(float) - picture)
    assert (seen[:20] == 255).all() and error.mean() < 6 and np.percentile(error, 99) < 30
