import imageio.v3 as iio
import numpy as np
import pytest
from drawing_helpers import flat_images, size_of, watch_pages

from cvae_tf.drawing.captioned import draw_captioned


@pytest.mark.parametrize("channels", [1, 3])
def test_captions_stand_under_their_images(tmp_path, monkeypatch, channels):
    pages = watch_pages(monkeypatch)
    path = tmp_path / "captioned.png"
    levels = [0.2, 0.4, 0.6, 0.8]
    images = flat_images(levels, 28, 28, channels)
    draw_captioned(path, images, ["-1", "-22", "-333", "-4444"], title="Title")
    pixels = iio.imread(path, mode="L")
    title, *captions = pages[0].texts
    assert title.get_text() == "Title"
    for level, caption in zip(levels, captions, strict=True):
        rows, columns = np.nonzero(pixels == round(level * 255))
        (left, right), bottom = np.percentile(columns, [1, 99]), np.percentile(rows, 99)
        x, y = caption.get_position() * np.array(pixels.shape[::-1])
        assert x == pytest.approx((left + right) / 2, abs=4)
        assert 0 < pixels.shape[0] - y - bottom < 25
    assert [caption.get_text() for caption in captions] == ["-1", "-22", "-333", "-4444"]


@pytest.mark.parametrize("shape", [(9, 255), (255, 9), (256, 256), (3, 3)])
@pytest.mark.parametrize("num", [1, 16])
def test_page_is_of_a_sensible_size_and_captions_are_apart(tmp_path, monkeypatch, shape, num):
    pages = watch_pages(monkeypatch)
    path = tmp_path / "captioned.png"
    draw_captioned(path, flat_images([0.5] * num, *shape), ["-1234.5"] * num, "Title " * 40)
    assert all(60 < side < 1700 for side in size_of(path))
    assert all(text.get_text() == "-1234.5" for text in pages[0].texts[1:])
    boxes = [text.get_window_extent() for text in pages[0].texts]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
