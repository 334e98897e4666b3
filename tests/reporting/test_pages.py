"""Pages of runs, as text and in a browser."""

import html.parser
import json
import re
import shutil

import keras
import numpy as np
import pytest
from conftest import run_script

import cvae_tf
from cvae_tf import workflows
from cvae_tf.core.errors import UserError
from cvae_tf.reporting import making
from cvae_tf.training import run_directory

HOSTILE = ("</script><script>alert(1)</script>", 'a "quote" & <b>', "ĳ數字")
TINY = {"epochs": 2, "batch_size": 32, "verbose": 0, "seed": 3}


def _images(place, num=90, channels=1):
    chance = np.random.default_rng(0)
    images = chance.integers(0, 2, [num, 12, 12, channels], np.uint8) * 255
    path = place / "<script>alert('name')</script>.npz".replace("/", "")
    np.savez(path, x_train=images, x_test=images[:40], y_train=np.arange(num) % 3,
             y_test=np.arange(40) % 3, class_names=np.array(HOSTILE))  # fmt: skip
    return path


class _Runs(dict):
    """A run of each kind, by name; trained when it is first asked for."""

    def __init__(self, new_place, kinds):
        super().__init__()
        self._new_place, self._kinds = new_place, kinds

    def __missing__(self, kind):
        place = self._new_place("runs") / kind.replace(" ", "_")
        self[kind] = workflows.train(run_dir=place, **self._kinds[kind])
        return self[kind]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    new_place = tmp_path_factory.mktemp
    grey, colours = _images(new_place("grey")), _images(new_place("colours"), channels=3)
    small = {"network": "mlp", "hidden": "16", **TINY}
    kinds = {
        "plane": {"data_path": grey, "preset": "fast", **TINY, "epochs": 4},
        "many latents": {"data_path": grey, "latent_dim": 9, "preset": "fast", **small},
        "labels": {"data_path": grey, "conditional": True, "preset": "fast", **small},
        "colours": {"data_path": colours, "preset": "photo", **TINY},
        "line": {"data_path": grey, "latent_dim": 1, "preset": "fast", **small},
        "classes of a gan": {
            "data_path": colours,
            "model": "gan",
            "conditional": True,
            "latent_dim": 8,
            **TINY,
        },
        "gan": {"data_path": colours, "model": "gan", "latent_dim": 8, **TINY},
    }
    return _Runs(new_place, kinds)


KINDS = [
    "plane",
    "many latents",
    "labels",
    "line",
    *(
        pytest.param(kind, marks=pytest.mark.slow)
        for kind in ("colours", "gan", "classes of a gan")
    ),
]


def _page(run):
    return run.directory / "report.html"


class _Tags(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_ends_with_a_page_that_needs_nothing_else(runs, kind):
    tags = _Tags(_page(runs[kind]).read_text(encoding="utf-8")).found
    sources = [value for _, known in tags for name, value in known.items()
               if name in ("src", "href")]  # fmt: skip
    assert sources
    assert all(source.startswith("data:image/webp") for source in sources)
    assert [tag for tag, _ in tags].count("script") == 2
    assert all(known.get("alt") for tag, known in tags if tag == "img")


def test_names_are_text_whatever_they_are(runs):
    text = _page(runs["labels"]).read_text(encoding="utf-8")
    assert "alert(1)" in text
    assert "<script>alert" not in text
    assert "ĳ數字" in text
    data = re.search(r'id="data">(.*?)</script>', text, re.DOTALL).group(1)
    assert json.loads(data)["classes"] == list(HOSTILE)


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_page_draws_is_what_the_model_draws(runs, visit, kind):
    page, model = visit(_page(runs[kind])), cvae_tf.load(runs[kind].saved_model)
    assert page.evaluate("Boolean(window.report)")
    for place in ([0, 0], [0.7, -0.4]):
        latents = page.evaluate("(place) => report.plane.latentsAt(place)", place)
        found = page.evaluate("(latents) => Array.from(report.decode(latents))", latents)
        labels = np.zeros(1, np.int32) if model.is_conditional else None
        expected = model.decode(np.array([latents], np.float32), labels)
        assert np.abs(np.ravel(expected) - found).mean() <= 0.01


def test_the_image_follows_the_pointer_and_the_keyboard(runs, visit):
    page = visit(_page(runs["plane"]), viewport={"width": 1600, "height": 1000})
    assert page.evaluate("Boolean(window.report)")
    drawn = "document.querySelector('#decoded').toDataURL()"
    box = page.locator("#plane").bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.3 * box["height"])
    first, place = page.evaluate(drawn), page.text_content("#place")
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.6 * box["height"])
    second = page.evaluate(drawn)
    assert first != second
    page.focus("#plane")
    page.keyboard.press("ArrowLeft")
    assert page.text_content("#place") != place
    reach = page.evaluate("report.plane.view.reach")
    page.keyboard.press("+")
    assert page.evaluate("report.plane.view.reach") < reach


def test_two_clicks_and_a_drag_make_strips(runs, visit):
    page = visit(_page(runs["plane"]), viewport={"width": 1600, "height": 1000})
    assert page.evaluate("Boolean(window.report)")
    box = page.locator("#plane").bounding_box()
    places = [(box["x"] + a * box["width"], box["y"] + b * box["height"])
              for a, b in ((0.2, 0.3), (0.7, 0.6), (0.4, 0.8))]  # fmt: skip
    for place in places[:2]:
        page.mouse.click(*place)
    assert page.text_content("#strip-name") == "11 images between the two places"
    assert page.evaluate("document.querySelector('#strip').width") == 11 * 12
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=5)
    page.mouse.up()
    assert page.text_content("#strip-name") == "11 images along the path"


def test_a_dot_shows_its_image_and_a_drawing_is_placed(runs, visit):
    page = visit(_page(runs["plane"]), viewport={"width": 1600, "height": 1000})
    assert page.evaluate("Boolean(window.report)")
    page.evaluate("report.tests.ready")
    page.evaluate("report.plane.moveTo(DATA.plane.places[3])")
    assert page.is_visible("#near-image")
    shown = page.evaluate("Array.from(report.tests.read(3))")
    assert set(np.round(shown, 2)) <= {0, 1}
    before = page.evaluate("document.querySelector('#drawn-again').toDataURL()")
    page.locator("#draw").scroll_into_view_if_needed()
    box = page.locator("#draw").bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 120, box["y"] + 130, steps=9)
    page.mouse.up()
    assert page.evaluate("document.querySelector('#drawn-again').toDataURL()") != before
    assert "nats" in page.text_content("#drawn-says")


def test_the_class_and_further_components_can_be_chosen(runs, visit):
    drawn = "document.querySelector('#decoded').toDataURL()"
    page = visit(_page(runs["labels"]))
    assert page.evaluate("Boolean(window.report)")
    first = page.evaluate(drawn)
    page.select_option("#class", "1")
    assert page.evaluate(drawn) != first
    page = visit(_page(runs["many latents"]))
    assert page.evaluate("Boolean(window.report)")
    first = page.evaluate(drawn)
    sliders = page.locator("#sliders input")
    assert sliders.count() == 6
    sliders.first.focus()
    page.keyboard.press("End")
    assert page.evaluate(drawn) != first


def test_epochs_and_more_samples(runs, visit):
    page = visit(_page(runs["plane"]))
    assert page.evaluate("Boolean(window.report)")
    page.focus("#epoch")
    page.keyboard.press("Home")
    assert page.text_content("#epoch-name") == "Epoch 0"
    assert page.locator("img.epoch:visible").count() == 1
    page.click("#more")
    page.wait_for_timeout(500)  # the page allows nobody to wait by a text that is evaluated
    assert page.evaluate("document.querySelector('#more-samples').width") == 16 * 12
    page.click("#copy")
    page.locator("#copy").filter(has_text="Copied").wait_for()


def test_curves_show_the_epochs_that_are_chosen(runs, visit):
    page, run = visit(_page(runs["plane"])), run_directory.load_run(runs["plane"].directory)
    rows = run_directory.read_metrics(run)
    page.focus("#from")
    page.keyboard.press("End")
    assert page.text_content("#epochs-shown") == "Epochs 3 to 4"
    picture = page.locator("svg.curve").first
    values = [row[name] for row in rows[2:] for name in ("train_elbo", "test_elbo")]
    assert float(picture.locator(".high").text_content()) == pytest.approx(max(values), rel=1e-3)
    assert float(picture.locator(".low").text_content()) == pytest.approx(min(values), rel=1e-3)
    assert picture.locator("circle:visible").count() == 4
    page.keyboard.press("Home")
    assert picture.locator("circle:visible").count() == 2 * len(rows)


def test_the_plane_zooms_by_buttons_too(runs, visit):
    page = visit(_page(runs["plane"]))
    reach = page.evaluate("report.plane.view.reach")
    page.hover("#plane", position={"x": 5, "y": 200})  # on the way to the button
    page.click("#zoom-in")
    view = page.evaluate("report.plane.view")
    assert view == {"x": 0, "y": 0, "reach": pytest.approx(reach / 1.5)}
    page.click("#zoom-whole")
    assert page.evaluate("report.plane.view.reach") == reach


@pytest.mark.parametrize("kind", ["plane", "labels"])
@pytest.mark.parametrize("width", [360, 1600])
def test_nothing_is_wider_than_the_screen(runs, visit, width, kind):
    page = visit(_page(runs[kind]), viewport={"width": width, "height": 800})
    assert page.evaluate("Boolean(window.report)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_a_script_pictures_and_tables_are_there(runs, visit):
    page = visit(_page(runs["plane"]), java_script_enabled=False)
    assert page.locator("img.pixels:visible").count() >= 2
    assert page.locator("svg:visible").count() >= 1
    assert not page.is_visible("#explore")
    assert "python train.py --preset=fast" in page.text_content("#command")


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_of_an_exported_model_draws_what_that_of_the_run_draws(runs, tmp_path, visit, kind):
    path = workflows.report(runs[kind].saved_model, tmp_path / "one.html", verbose=0)
    latents = [0.3] * cvae_tf.load(runs[kind].saved_model).latent_dim
    draw = "(latents) => Array.from(report.decode(latents))"
    pages = visit(path), visit(_page(runs[kind]))
    of_exported, of_run = (page.evaluate(draw, latents) for page in pages)
    assert of_exported == of_run


def test_keys_alone_draw_an_image_and_a_path(runs, visit):
    page = visit(_page(runs["plane"]))
    page.focus("#draw")
    for key in ["ArrowUp", "ArrowUp", "Shift+ArrowLeft", "ArrowDown"]:
        page.keyboard.press(key)
    assert "nats" in page.text_content("#drawn-says")
    assert page.evaluate("report.plane.drawn.length") == 2
    page.focus("#plane")
    for key in ["Shift+ArrowRight"] * 4 + ["Enter"]:
        page.keyboard.press(key)
    assert page.text_content("#strip-name") == "11 images along the path"


def test_a_gesture_that_is_cancelled_draws_no_path(runs, visit):
    page = visit(_page(runs["plane"]))
    page.hover("#plane", position={"x": 50, "y": 50})
    page.mouse.down()
    page.hover("#plane", position={"x": 90, "y": 90})
    page.dispatch_event("#plane", "pointercancel", {"pointerId": 1})
    page.hover("#plane", position={"x": 10, "y": 90})
    assert page.evaluate("report.plane.path") == []


def test_two_fingers_zoom_and_make_no_path(runs, visit):
    page = visit(_page(runs["plane"]), has_touch=True)
    box = page.locator("#plane").bounding_box()
    reach = page.evaluate("report.plane.view.reach")
    fingers = page.context.new_cdp_session(page)

    def touch(kind, *places):
        points = [{"x": box["x"] + x, "y": box["y"] + 100, "id": i} for i, x in enumerate(places)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 100)
    touch("touchStart", 100, 160)
    touch("touchMove", 100, 220)
    touch("touchEnd")
    assert page.evaluate("report.plane.view.reach") == pytest.approx(reach / 2, rel=0.1)
    assert page.evaluate("report.plane.path") == []


def test_on_paper_everything_is_light_and_the_latents_are_pictures(runs, visit):
    page = visit(_page(runs["plane"]), color_scheme="dark")
    ink = "getComputedStyle(document.body).color"
    assert page.evaluate(ink) == "rgb(236, 236, 240)"
    assert not page.is_visible(".still")
    page.emulate_media(media="print")
    assert page.evaluate(ink) == "rgb(28, 28, 30)"
    assert page.is_visible(".still") and not page.is_visible("#explore")


def test_labels_have_a_legend_and_a_pointer_on_curves_is_told_their_values(runs, visit):
    page = visit(_page(runs["plane"]))
    assert page.locator("#legend li").all_text_contents() == list(HOSTILE)
    page.locator("svg.curve").first.hover(position={"x": 60, "y": 60})
    assert "train_elbo, epoch 1" in page.locator(".value").first.text_content()


def test_the_page_of_a_run_keeps_its_labels_when_it_is_written_again(runs, tmp_path):
    def labels(path):
        text = path.read_text(encoding="utf-8")
        return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL).group(1))[
            "testLabels"
        ]

    again = workflows.report(runs["plane"].directory, tmp_path / "again.html", verbose=0)
    assert labels(again) == labels(_page(runs["plane"])) != []


def test_unusual_images_are_shown(runs):
    text = _page(runs["plane"]).read_text(encoding="utf-8")
    assert "relative ELBO" in text and "unusual test images" in text


@pytest.mark.slow
def test_no_unusual_images_are_shown_of_a_model_that_cannot_tell(runs):
    assert "unusual test images" not in _page(runs["gan"]).read_text(encoding="utf-8")


@pytest.mark.slow
def test_what_the_encoder_would_reconstruct_is_there_without_it(runs, visit):
    page, model = visit(_page(runs["colours"])), cvae_tf.load(runs["colours"].saved_model)
    assert page.evaluate("report.encode === undefined")
    page.evaluate("report.plane.moveTo(DATA.plane.places[2])")
    page.wait_for_timeout(300)
    near = page.evaluate("report.plane.nearest(DATA.plane.places[2])")
    shown = page.evaluate(
        "Array.from(document.querySelector('#near-again').getContext('2d')"
        ".getImageData(0, 0, 12, 12).data)"
    )
    image = np.array(page.evaluate(f"Array.from(report.tests.read({near}))")).reshape(1, 12, 12, 3)
    expected = model.reconstruct(image.astype(np.float32))[0]
    found = np.reshape(shown, (12, 12, 4))[..., :3] / 255
    assert np.abs(found - expected).mean() < 0.05


def test_an_evaluation_is_shown_with_its_pictures_and_conditions(runs, tmp_path, visit):
    run = shutil.copytree(runs["line"].directory, tmp_path / "run")
    workflows.evaluate(run, verbose=0, measures="likelihood")
    path = workflows.report(run, verbose=0)
    text = visit(path).text_content("main")
    assert "log p(x), exact" in text and "Gauss-Newton steps for each image" in text
    assert 'alt="bounds of log p(x)' in path.read_text(encoding="utf-8")
    found = json.loads((run / "evaluation.json").read_text())
    found["numbers"][0]["standard_error"] = None  # as of a single image
    found["training"]["epoch"] = 1
    (run / "evaluation.json").write_text(json.dumps(found))
    text = visit(workflows.report(run, verbose=0)).text_content("main")
    assert "Of epoch 1; this page shows the model of epoch 2." in text


def test_a_page_of_several_runs(runs, tmp_path, visit):
    others = [runs["many latents"].directory]
    path = workflows.report(runs["plane"].directory, tmp_path / "two.html", others, verbose=0)
    page = visit(path)
    dots = [each.locator("circle").count() for each in page.locator("svg.curve").all()]
    assert dots == [4 + 2] * 3  # of both runs, though one has fewer epochs
    text = page.text_content("main")
    assert "latent_dim29" in text.replace(" ", "")
    assert "reconstructed by each" in text


@pytest.mark.slow
def test_runs_of_other_sizes_are_not_compared(runs):
    with pytest.raises(UserError, match="different sizes"):
        workflows.report(runs["plane"].directory, None, [runs["gan"].directory], verbose=0)


def test_a_page_that_fails_does_not_spoil_the_run(tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise RuntimeError("no page today")

    monkeypatch.setattr(making, "write_run", fail)
    done = workflows.train(
        run_dir=tmp_path / "run", data_path=_images(tmp_path), network="mlp", hidden="8",
        preset="fast", epochs=1,
    )  # fmt: skip
    assert done.saved_model.exists()
    assert "report.html is missing (no page today)" in capsys.readouterr().err


def test_the_script_writes_into_the_run_and_refuses_what_is_none(runs, tmp_path):
    page = _page(runs["plane"])
    before = page.stat().st_mtime_ns
    run_script("report.py", f"--run_dir={runs['plane'].directory}", cwd=tmp_path)
    assert page.stat().st_mtime_ns > before
    keras.backend.clear_session()
    with pytest.raises(UserError, match="holds no"):
        workflows.report(tmp_path / "none", verbose=0)
