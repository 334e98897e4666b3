"""Pages have the right pixels in the right place; text fits, means nothing, and is readable."""

import imageio.v3 as iio
import numpy as np
import pytest
from matplotlib import pyplot

from cvae_tf.core import messages
from cvae_tf.drawing import canvas, fonts, latents


@pytest.fixture(autouse=True)
def _nothing_was_said(monkeypatch):
    monkeypatch.setattr(fonts, "_warnings", set())


def test_pictures_are_placed_pixel_by_pixel_on_pages_of_exactly_their_size(tmp_path):
    for width, height, channels in ((115, 157, 1), (443, 277, 3)):  # not whole in inches x dots
        picture = np.random.default_rng(0).integers(0, 256, (77, 23, channels), np.uint8)
        page = canvas.new_page(width, height)
        canvas.place(page, picture, left=11, top=5)
        canvas.save(page, tmp_path / "page.png")
        expected = np.full((height, width, 3), 255)
        expected[5:82, 11:34] = picture
        np.testing.assert_array_equal(iio.imread(tmp_path / "page.png", mode="RGB"), expected)
    assert pyplot.get_fignums() == []  # no figure stays open


def test_lines_stand_where_they_are_wanted_and_fit(tmp_path):
    page = canvas.new_page(400, 100)
    canvas.write(page, "MMM", x=300, y=25, width=400, size=14)
    canvas.save(page, tmp_path / "page.png")
    rows, columns = np.nonzero(iio.imread(tmp_path / "page.png", mode="L") < 128)
    assert (rows.min() + rows.max()) / 2 == pytest.approx(25, abs=3)
    assert (columns.min() + columns.max()) / 2 == pytest.approx(300, abs=2)
    for letters, ending in ((20, "x"), (32, "x"), (300, "…")):  # smaller, then shorter
        canvas.write(page, "x" * letters, x=150, y=50, width=300, size=14)
        line = page.texts[-1]
        assert line.get_window_extent().width <= 300 and line.get_text().endswith(ending)
        assert 10 <= line.get_fontsize() <= 14
    assert canvas.shortened("a" * 40) == "a" * 40
    assert canvas.shortened("ab " * 20, 10) == "ab ab ab…"


def _page(text, path):
    page = canvas.new_page(300, 60)
    canvas.write(page, text, 150, 30, 300, size=12)
    canvas.save(page, path / "page.png")
    return page.texts[0]


@pytest.mark.parametrize("text", ["$x^$", "a\nb", "$", r"\$x^$", ""])
def test_no_letter_has_a_meaning_for_matplotlib(tmp_path, text):
    assert _page(text, tmp_path).get_text().replace(r"\$", "$") == text.replace("\n", " ")


@pytest.mark.filterwarnings("error")
def test_letters_that_no_font_has_are_boxes_and_said_once(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(fonts, "_known_others", list)
    with messages.verbosity(0):
        assert _page("字", tmp_path).get_text() == "□"
    assert _page("a 数字 é", tmp_path).get_text() == "a □□ é"
    labels, names = np.arange(40) % 2, ["カナ", "b\x1b\udce9"]  # along an axis
    latents.draw_latents(tmp_path / "a.png", np.zeros((40, 1)), labels, "a title", names)
    said = capfd.readouterr().err
    assert said.startswith("warning: no common font of this machine has such letters as '数字'; p")
    assert said.count("\n") == 1 and "\x1b" not in said


@pytest.mark.filterwarnings("error")
def test_other_alphabets_are_written_if_a_font_has_them(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(fonts, "_OTHERS", ("No Such Font", "STIXGeneral"))
    usual = _page("Größe, Ωμέγα, Жук − 5 × 3 …", tmp_path).get_fontfamily()
    letter = min(filter(str.isalpha, fonts._letters("STIXGeneral") - fonts._letters(usual[0])))
    line = _page(letter, tmp_path)
    assert line.get_text() == letter and line.get_fontfamily() == [*usual, "STIXGeneral"]
    assert capfd.readouterr().err == ""
