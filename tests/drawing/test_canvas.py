import imageio.v3 as iio
import numpy as np
import pytest

from cvae_tf.drawing import canvas


@pytest.mark.parametrize("size", [(300, 201), (1043, 577), (29, 57), (115, 999)])
def test_page_has_exactly_its_pixels(tmp_path, size):
    canvas.save(canvas.new_page(*size), tmp_path / "page.png")
    assert iio.imread(tmp_path / "page.png").shape[:2] == size[::-1]


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_placed_pixel_by_pixel(tmp_path, channels):
    picture = np.random.default_rng(0).integers(0, 256, (37, 23, channels), dtype=np.uint8)
    page = canvas.new_page(115, 57)  # sizes that are not whole in inches times dots
    canvas.place(page, picture, left=11, top=5)
    canvas.save(page, tmp_path / "page.png")
    pixels = iio.imread(tmp_path / "page.png", mode="RGB")
    np.testing.assert_array_equal(pixels[5:42, 11:34], np.broadcast_to(picture, (37, 23, 3)))
    pixels[5:42, 11:34] = 255
    assert pixels.min() == 255


def test_lines_are_written_where_they_are_wanted(tmp_path):
    page = canvas.new_page(400, 100)
    canvas.write(page, "MMM", x=300, y=25, width=400, size=14)
    canvas.save(page, tmp_path / "page.png")
    rows, columns = np.nonzero(iio.imread(tmp_path / "page.png", mode="L") < 128)
    assert (rows.min() + rows.max()) / 2 == pytest.approx(25, abs=3)
    assert (columns.min() + columns.max()) / 2 == pytest.approx(300, abs=2)


@pytest.mark.parametrize(("letters", "ending"), [(20, "x"), (32, "x"), (300, "…")])
def test_long_lines_become_smaller_and_then_shorter(letters, ending):
    page = canvas.new_page(330, 100)
    canvas.write(page, "x" * letters, x=150, y=50, width=300, size=14)
    line = page.texts[0]
    assert line.get_window_extent().width <= 300
    assert line.get_text().endswith(ending)
    assert 10 <= line.get_fontsize() <= 14


@pytest.mark.parametrize("text", ["$x^$", "50$ or 60$", "a\nb", "$", r"\$x^$", "_", ""])
def test_no_letter_has_a_meaning_for_matplotlib(tmp_path, text):
    page = canvas.new_page(300, 60)
    canvas.write(page, text, 150, 30, 300, size=12)
    canvas.save(page, tmp_path / "page.png")
    assert page.texts[0].get_text().replace(r"\$", "$") == text.replace("\n", " ")


def test_names_are_cut_only_if_they_are_long():
    assert canvas.shortened("a" * 40) == "a" * 40
    assert canvas.shortened("ab " * 20, 10) == "ab ab ab…"


def test_pages_leave_no_figures_open(tmp_path):
    from matplotlib import pyplot

    canvas.save(canvas.new_figure(2, 1), tmp_path / "page.png")
    assert pyplot.get_fignums() == []
