import imageio.v3 as iio
import numpy as np
import pytest
from matplotlib import font_manager

from cvae_tf.core import messages
from cvae_tf.drawing import canvas, fonts, latents


@pytest.fixture(autouse=True)
def _nothing_was_said(monkeypatch):
    monkeypatch.setattr(fonts, "_warnings", set())


def _page(text, path):
    page = canvas.new_page(300, 60)
    canvas.write(page, text, 150, 30, 300, size=12)
    canvas.save(page, path)
    return page.texts[0]


@pytest.mark.filterwarnings("error")
def test_letters_that_no_font_has_are_boxes_and_said_once(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(fonts, "_known_others", list)
    with messages.verbosity(0):
        assert _page("字", tmp_path / "page.png").get_text() == "□"
    assert _page("a 数字 é", tmp_path / "page.png").get_text() == "a □□ é"
    assert _page("カナ", tmp_path / "page.png").get_text() == "□□"
    said = capfd.readouterr().err
    assert said.startswith(
        "warning: no common font of this machine has such letters as '数字'; pictures"
    )
    assert said.count("\n") == 1


@pytest.mark.filterwarnings("error")
def test_other_alphabets_are_written_if_a_font_has_them(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(fonts, "_OTHERS", ("No Such Font", "STIXGeneral"))
    others = fonts._letters("STIXGeneral") - fonts._letters("DejaVu Sans")
    letter = min(filter(str.isalpha, others))
    line = _page(letter, tmp_path / "page.png")
    assert line.get_text() == letter
    assert line.get_fontfamily()[-1] == "STIXGeneral"
    assert capfd.readouterr().err == ""
    assert iio.imread(tmp_path / "page.png", mode="L").min() < 128


@pytest.mark.filterwarnings("error")
def test_names_along_an_axis_are_readable_too(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(fonts, "_known_others", list)
    means, labels, names = (
        np.linspace(-1, 1, 40)[:, None],
        np.arange(40) % 2,
        ["数字", "b\x1b\udce9"],
    )
    latents.draw_latents(tmp_path / "latents.png", means, labels, "a title", names)
    said = capfd.readouterr().err
    assert said.count("\n") == 1 and "'数字" in said and "\x1b" not in said


@pytest.mark.filterwarnings("error")
def test_usual_letters_leave_the_font_as_it_is(tmp_path, capfd):
    families = list(font_manager.FontProperties().get_family())
    assert _page("Größe, Ωμέγα, Жук − 5 × 3 …", tmp_path / "page.png").get_fontfamily() == families
    assert capfd.readouterr().err == ""
