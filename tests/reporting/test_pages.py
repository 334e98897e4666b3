"""Pages of runs, as text and in a browser."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

import cvae_tf
from cvae_tf import api
from cvae_tf.exporting.load import load
from cvae_tf.reporting import network_code, page
from cvae_tf.reporting.page import Source

HOSTILE = ["</script><script>alert(1)</script>", 'a "quote" & <b>', "ĳ數字"]
NAME = "<b onclick=alert(2)> & x"
OPENED = r'<img class="epoch" data-name="([^"]*)"[^>]*">'  # the picture that is not hidden
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
    assert "relative ELBO" in text and "most unusual of 32 test images" in text
    assert "python train.py --preset=fast" in text
    assert f"<b>{vae_run.history[-1]['test_elbo']:.1f}</b>" in text
    assert re.findall(OPENED, text) == ["Epoch 2"]
    source = page.read_source(vae_run.directory)
    source.model.metadata["metrics"]["epoch"] = 1
    assert re.findall(OPENED, page.single(source)) == ["Epoch 1: the exported model"]
    assert "Variational autoencoder of &#34;small.npz&#34;</h1>" in text
    text = _text(gan_run)
    _assert_needs_nothing_else(text)
    assert "Samples" in text and "most unusual" not in text
    assert list(_data(text)["code"]) == ["decode"]


def test_names_are_text_and_what_the_page_cannot_encode_is_on_it(conditional_run, monkeypatch):
    model = load(conditional_run.saved_model)
    data, networks = model.metadata["data"], model.networks
    data["name"] = data["licence"] = NAME
    data["class_names"] = (*HOSTILE, *model.class_names[3:])
    images = np.random.default_rng(0).random((20, 28, 28, 1)).astype(np.float32)
    labels = np.arange(20) % 10
    source = Source(NAME, model, None, [{"epoch": 1, f"test_{NAME}": 1.0}], images, labels)
    monkeypatch.setattr(network_code, "_LARGEST_CODE", networks["decoder"].count_params())
    text = page.single(source)
    assert "<b onclick" not in text + page.comparison([source, source])
    assert text.count("&lt;b onclick") == 5  # of data twice, column, run, licence
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
    number = {"quantity": "ELBO", "samples": 3, "nats_per_image": -19861.5, "refine": 4}
    numbers = [number, {**number, "quantity": "log p(x), exact", "standard_error": 0.25}]
    distance = {"distance": 12.5, "precision": 0.75}
    found = {"numbers": numbers, "distance": distance, "training": {"epoch": 1}}
    template = page._templates().get_template("evaluation.html")
    text = template.render(evaluation=found, metadata={"metrics": {"epoch": 2}})
    for part in ("-19,861.50<", "-19,861.50 ± 0.25", "log p(x), exact", "4 Gauss-Newton steps",
                 "12.5", "0.75", "Of epoch 1; this page shows the model of epoch 2."):  # fmt: skip
        assert part in text


def test_runs_side_by_side_warn_where_figures_do_not_compare(
    vae_run, conditional_run, tmp_path, visit, capsys
):
    path = api.report(vae_run.directory, tmp_path / "two.html", [conditional_run.directory])
    said = capsys.readouterr().err
    assert "treat pixels differently" in said and "different images" not in said
    opened = visit(path)
    count = "(all) => all.map((curve) => curve.querySelectorAll('polyline').length)"
    assert max(opened.eval_on_selector_all("figure.curve", count)) == 2  # both runs
    text = opened.text_content("main")
    assert "latent_dim23" in text.replace(" ", "") and "reconstructed by each" in text

    sources = [page.read_source(vae_run.directory) for _ in range(2)]
    metadata = sources[1].model.metadata
    metadata["data"]["sha256"] = "another"
    metadata["config"]["likelihood"] = "discretized_logistic"
    row = page._with_bits(sources[1].model, {"epoch": 1, "train_elbo": -784.0, "test_elbo": -392.0})
    assert row["test_bits_per_dim"] == pytest.approx(0.5 / np.log(2))  # of 28 x 28 pixels
    text = page.comparison([sources[0], sources[1]._replace(metrics=[row])])
    assert text.count('class="warning"') == 2 and capsys.readouterr().err.count("compare") == 2
    lines = {curve["title"]: [*curve["lines"]] for curve in _data(text)["curves"]}
    assert lines["bits per dimension"] == ["run 2"] and lines["ELBO"] == ["run 1"]


def test_numbers_are_as_people_write_them():
    found = [page.number(value) for value in (-19861.4, -126.0, 7.3656, 0.0004, 4680)]
    assert found == ["-19,861", "-126.0", "7.366", "0.0004", "4,680"]


# In the browser. `visit` sees that nothing is asked for and nothing goes wrong.


def _open(visit, run):
    return visit(run.directory / "report.html")


FIRST = """report.tests.ready.then(() => {
  const latents = report.encode(report.tests.read(0), DATA.testClasses[0]).slice(0, DATA.latents);
  return [report.plane.latentsAt(report.plane.cursor), Array.from(latents)];
})"""


def _assert_draws_as(opened, run):
    shown, first = opened.evaluate(FIRST)  # test image
    np.testing.assert_allclose(shown, first, atol=0.002)
    model = cvae_tf.load(run.saved_model)
    for place in ([0, 0], [0.7, -0.4]):
        latents = opened.evaluate("(place) => report.plane.latentsAt(place)", place)
        found = opened.evaluate("(latents) => Array.from(report.decode(latents, 0))", latents)
        labels = np.zeros(1, np.int32) if model.num_classes else None
        expected = model.decode(np.array([latents], np.float32), labels)
        assert np.abs(np.ravel(expected) - found).mean() <= 0.01


def test_the_plane_draws_what_the_model_draws_and_follows_pointer_and_keys(vae_run, visit):
    opened = _open(visit, vae_run)
    _assert_draws_as(opened, vae_run)
    look = "(done) => report.plane.manifold ? done() : setTimeout(() => look(done), 20)"
    opened.evaluate(f"new Promise(look = {look})")
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
    drawn, component = [opened.evaluate(DECODED)], opened.text_content("#sliders output")
    label = int(opened.input_value("#class"))
    opened.select_option("#class", str((label + 1) % 10))
    drawn.append(opened.evaluate(DECODED))
    opened.focus("#sliders input")
    opened.keyboard.press("End")
    drawn.append(opened.evaluate(DECODED))
    assert len(set(drawn)) == 3 and float(opened.text_content("#sliders output")) > 0
    opened.click("#reset")
    assert opened.evaluate(DECODED) == drawn[1] and opened.text_content("output") == component


@pytest.mark.parametrize("width, height", [(1200, 900), (360, 740)])
def test_plane_and_image_are_in_view_together_and_sharp(vae_run, visit, width, height):
    screen = {"viewport": {"width": width, "height": height}, "device_scale_factor": 2}
    opened = visit(vae_run.directory / "report.html", **screen)
    in_css, in_canvas = opened.evaluate(
        "(({ size, canvas }) => [size, canvas.width])(report.plane)"
    )
    assert 250 < in_css < 700 and in_canvas == 2 * in_css
    assert opened.evaluate("document.documentElement.scrollWidth") == width
    if width == 360:
        opened.evaluate("document.querySelector('#decoded').scrollIntoView()")
    plane, image = (opened.locator(name).bounding_box() for name in ("#plane", "#decoded"))
    assert min(plane["y"], image["y"]) > -1 and plane["y"] + plane["height"] <= height
    assert width > 360 or image["y"] + image["height"] < plane["y"]  # the finger hides it not


@pytest.mark.slow
def test_drawings_epochs_and_samples_are_at_hand(vae_run, visit):
    opened = _open(visit, vae_run)
    opened.locator("#draw").scroll_into_view_if_needed()
    example = opened.text_content("#drawn-says")
    opened.hover("#draw", position={"x": 40, "y": 40})
    opened.mouse.down()
    opened.hover("#draw", position={"x": 120, "y": 130})
    opened.mouse.up()
    assert "nats" in example and "nats" in opened.text_content("#drawn-says") != example
    opened.focus("#epoch")
    opened.keyboard.press("Home")
    assert opened.text_content("#epoch-name") == "Epoch 0"
    opened.click("#more")
    opened.locator("#more-samples").wait_for()
    assert opened.evaluate("document.querySelector('#more-samples').width") == 16 * 28
