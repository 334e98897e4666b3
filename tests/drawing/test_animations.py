import imageio.v3 as iio
import numpy as np
import pytest
from drawing_helpers import flat_images, noise_images
from PIL import Image

from cvae_tf.drawing import animations


def _frames(path):
    """All frames as grey pixels, and how long each is seen in milliseconds."""
    with Image.open(path) as gif:
        assert gif.n_frames == 1 or gif.info["loop"] == 0
        frames = []
        for number in range(gif.n_frames):
            gif.seek(number)
            frames.append((np.asarray(gif.convert("L")), gif.info["duration"]))
    return [frame for frame, _ in frames], [duration for _, duration in frames]


def _levels(path):
    return [int(np.median(frame)) for frame in _frames(path)[0]]


def test_animation_of_images_goes_there_and_back(tmp_path):
    animations.save_animation(tmp_path / "a.gif", flat_images([0, 0.4, 1], 8, 8))
    assert _levels(tmp_path / "a.gif") == [0, 102, 255, 102]


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(28, 28, (224, 224)), (8, 8, (224, 224)), (256, 256, (256, 256)),
     (9, 255, (36, 1020)), (255, 9, (1020, 36))],
)  # fmt: skip
@pytest.mark.parametrize("channels", [1, 3])
def test_small_images_are_enlarged_by_a_whole_number(tmp_path, height, width, size, channels):
    animations.save_animation(tmp_path / "a.gif", noise_images(2, height, width, channels))
    frames, _ = _frames(tmp_path / "a.gif")
    assert all(frame.shape == size for frame in frames)


def _write_frames(directory, num):
    paths = [directory / f"{i}.png" for i in range(num)]
    for level, path in enumerate(paths):
        iio.imwrite(path, np.full((10, 12, 3), 20 * level + 10, np.uint8))
    return paths


@pytest.mark.parametrize("num", [1, 2, 11])
def test_animation_has_all_frames_in_order(tmp_path, num):
    animations.animate(_write_frames(tmp_path, num), tmp_path / "a.gif")
    assert _levels(tmp_path / "a.gif") == [20 * level + 10 for level in range(num)]
    assert _frames(tmp_path / "a.gif")[1] == [400] * (num - 1) + [3000]


def test_animation_of_coloured_pictures_is_coloured(tmp_path):
    paths = [tmp_path / "0.png", tmp_path / "1.png", tmp_path / "2.png"]
    for path, colour in zip(paths, ((9, 9, 9), (200, 0, 0), (0, 0, 200)), strict=True):
        iio.imwrite(path, np.full((10, 12, 3), colour, np.uint8))
    animations.animate(paths, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        seen = []
        for number in range(3):
            gif.seek(number)
            seen.append(np.asarray(gif.convert("RGB"))[5, 5])
    np.testing.assert_allclose(seen, [(9, 9, 9), (200, 0, 0), (0, 0, 200)], atol=8)


def test_pictures_of_many_colours_keep_them_and_their_white(tmp_path):
    picture = np.full((600, 900, 3), 255, np.uint8)
    y, x = np.mgrid[:500, :700]
    picture[50:550, 100:800] = np.stack([x // 3, y // 2, (x + y) // 5], axis=-1)
    picture[50:550:3, 100:800:3] = [252, 249, 250]
    iio.imwrite(tmp_path / "0.png", picture)
    animations.animate([tmp_path / "0.png"], tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        seen = np.asarray(gif.convert("RGB"))
    assert (seen[:50] == 255).all()
    error = np.abs(seen.astype(float) - picture)
    assert error.mean() < 6 and np.percentile(error, 99) < 30


def test_smaller_pictures_get_white_about_them(tmp_path):
    small, large = tmp_path / "0.png", tmp_path / "1.png"
    iio.imwrite(small, np.zeros((10, 20, 3), np.uint8))
    iio.imwrite(large, np.zeros((16, 21, 3), np.uint8))
    animations.animate([small, large], tmp_path / "a.gif")
    first, second = _frames(tmp_path / "a.gif")[0]
    assert first.shape == second.shape == (16, 21)
    assert (first[3:13, :20] == 0).all() and (first == 255).sum() == 16 * 21 - 200
    assert (second == 0).all()


def test_long_animations_are_faster_but_not_too_fast(tmp_path):
    paths = _write_frames(tmp_path, 2)
    animations.animate(paths * 50, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        assert (gif.n_frames, gif.info["duration"]) == (100, 200)
