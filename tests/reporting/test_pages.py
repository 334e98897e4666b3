"""Pages of runs, as text and in a browser."""

import base64
import io
import json
import re
import types

import numpy as np
import pytest
from PIL import Image

import cvae_tf
from cvae_tf import api
from cvae_tf.core.errors import UserError
from cvae_tf.exporting.load import load
from cvae_tf.reporting import page
from cvae_tf.reporting.page import Source

HOSTILE = ["</script><script>alert(1)</script>", 'a "quote" & <b>', "ĳ數字"]
NAME = "<b onclick=alert(2)> & x"
DECODED = "document.querySelector('#decoded').toDataURL()"


def _text(run):
    return (run.directory / "report.html").read_text(encoding="utf-8")


def _data(text):
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL).group(1))


def _assert_needs_nothing_else(text):
    sources = re.findall(r' (?:src|href)="(.{15})', text)
    assert sources and set(sources) == {"data:image/webp"}
    assert text.count("<script") == 2


def test_a_run_ends_with_a_page_that_needs_nothing_else(vae_run, gan_run, tmp_path):
    text = _text(vae_run)
    _assert_needs_nothing_else(text)
    again = api.report(vae_run.saved_model, tmp_path / "one.html", verbose=0)
    first, second = _data(text), _data(again.read_text(encoding="utf-8"))
    assert len(first["testLabels"]) == 32
    for name in ("code", "testLabels", "labelNames", "tests", "shape", "samples"):
        assert first[name] == second[name], name
    assert "relative ELBO" in text and "unusual test images" in text
    assert "python train.py --preset=fast" in text
    assert f"{vae_run.history[-1]['test_elbo']:.4g}" in text
    text = _text(gan_run)
    _assert_needs_nothing_else(text)
    assert "Samples" in text and "unusual test images" not in text
    assert list(_data(text)["code"]) == ["decode"]


def test_names_are_text_and_what_the_page_cannot_encode_is_on_it(conditional_run, monkeypatch):
    model = load(conditional_run.saved_model)
    data, networks = model.metadata["data"], model.networks
    data["name"] = data["licence"] = NAME
    data["class_names"] = (*HOSTILE, *model.class_names[3:])
    images = np.random.default_rng(0).random((20, 28, 28, 1)).astype(np.float32)
    labels = np.arange(20) % 10
    source = Source(NAME, model, None, [{"epoch": 1, f"test_{NAME}": 1.0}], images, labels)
    monkeypatch.setattr(page, "_LARGEST_CODE", networks["decoder"].count_params())
    text = page.single(source)
    assert "<b onclick" not in text + page.comparison([source, source])
    assert text.count("&lt;b onclick") == 7  # of data twice, run, curve twice, column, licence
    assert 'alt="Drawn: a &#34;quote&#34; &amp; ' in text
    assert "alert(1)" in text and "ĳ數字" in text and "<script>alert" not in text
    assert _data(text)["classes"][:3] == HOSTILE == _data(text)["labelNames"][:3]
    _assert_needs_nothing_else(text)

    assert list(_data(text)["code"]) == ["decode"]
    sheet = base64.b64decode(_data(text)["reconstructed"]["uri"].partition(",")[2])
    shown = np.asarray(Image.open(io.BytesIO(sheet)).convert("L"))[:28, : 20 * 28] / 255
    expected = np.concatenate(model.reconstruct(images, labels)[..., 0], axis=1)
    assert np.abs(shown - expected).mean() < 0.05


def test_an_evaluation_is_shown_with_its_conditions():
    number = {"quantity": "ELBO", "samples": 3, "nats_per_image": -95.5, "refine": 4}
    numbers = [number, {**number, "quantity": "log p(x), exact", "standard_error": 0.25}]
    distance = {"distance": 12.5, "precision": 0.75}
    found = {"numbers": numbers, "distance": distance, "training": {"epoch": 1}}
    template = page._templates().get_template("evaluation.html")
    text = template.render(evaluation=found, metadata={"metrics": {"epoch": 2}})
    for part in ("-95.500<", "-95.500 +- 0.250", "log p(x), exact", "4 Gauss-Newton steps",
                 "12.5", "0.75", "Of epoch 1; this page shows the model of epoch 2."):  # fmt: skip
        assert part in text


@pytest.mark.slow
def test_runs_are_shown_side_by_side_if_their_images_are_of_one_size(
    vae_run, conditional_run, tmp_path, visit
):
    others = [conditional_run.directory]
    path = api.report(vae_run.directory, tmp_path / "two.html", others, verbose=0)
    opened = visit(path)
    count = "(all) => all.map((curve) => curve.querySelectorAll('.dots').length)"
    assert max(opened.eval_on_selector_all("figure.curve", count)) == 2  # both runs
    text = opened.text_content("main")
    assert "latent_dim23" in text.replace(" ", "") and "reconstructed by each" in text
    given = types.SimpleNamespace(model=types.SimpleNamespace(image_shape=(9, 8, 1)))
    with pytest.raises(UserError, match="different sizes"):
        page.comparison([given, page.read_source(vae_run.directory)])


# In the browser. `visit` sees that nothing is asked for and nothing goes wrong.


def _open(visit, run):
    return visit(run.directory / "report.html")


def _assert_draws_as(opened, run):
    model = cvae_tf.load(run.saved_model)
    for place in ([0, 0], [0.7, -0.4]):
        latents = opened.evaluate("(place) => report.plane.latentsAt(place)", place)
        found = opened.evaluate("(latents) => Array.from(report.decode(latents))", latents)
        labels = np.zeros(1, np.int32) if model.num_classes else None
        expected = model.decode(np.array([latents], np.float32), labels)
        assert np.abs(np.ravel(expected) - found).mean() <= 0.01


def test_the_plane_draws_what_the_model_draws_and_follows_pointer_and_keys(vae_run, visit):
    opened = _open(visit, vae_run)
    _assert_draws_as(opened, vae_run)
    drawn = []
    for position in ({"x": 40, "y": 60}, {"x": 200, "y": 150}):
        opened.hover("#plane", position=position)
        drawn.append((opened.evaluate(DECODED), opened.text_content("#place")))
    opened.focus("#plane")
    opened.keyboard.press("ArrowLeft")
    drawn.append((opened.evaluate(DECODED), opened.text_content("#place")))
    assert len(set(drawn)) == 3
    opened.click("#plane", position={"x": 40, "y": 60})
    opened.click("#plane", position={"x": 200, "y": 150})
    assert opened.text_content("#strip-name") == "11 images between the two places"
    assert opened.evaluate("document.querySelector('#strip').width") == 11 * 28


@pytest.mark.slow
def test_the_class_and_further_components_can_be_chosen(conditional_run, visit):
    opened = _open(visit, conditional_run)
    _assert_draws_as(opened, conditional_run)
    drawn = [opened.evaluate(DECODED)]
    opened.select_option("#class", "1")
    drawn.append(opened.evaluate(DECODED))
    opened.focus("#sliders input")
    opened.keyboard.press("End")
    assert len({*drawn, opened.evaluate(DECODED)}) == 3


@pytest.mark.slow
def test_drawings_epochs_and_samples_are_at_hand(vae_run, visit):
    opened = _open(visit, vae_run)
    opened.locator("#draw").scroll_into_view_if_needed()
    opened.hover("#draw", position={"x": 40, "y": 40})
    opened.mouse.down()
    opened.hover("#draw", position={"x": 120, "y": 130})
    opened.mouse.up()
    assert "nats" in opened.text_content("#drawn-says")
    opened.focus("#epoch")
    opened.keyboard.press("Home")
    assert opened.text_content("#epoch-name") == "Epoch 0"
    opened.click("#more")
    opened.locator("#more-samples").wait_for()
    assert opened.evaluate("document.querySelector('#more-samples').width") == 16 * 28
