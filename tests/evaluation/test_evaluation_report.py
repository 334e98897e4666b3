import csv
import json
import math

import imageio.v3 as iio
import numpy as np
import pytest
from conftest import METADATA, tiny_cvae, vivid
from matplotlib.text import Text

from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.evaluation import evaluated_model, evaluating, pictures, report, true_posterior
from cvae_tf.evaluation.settings import EvaluationSettings
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.pixels import Pixels


@pytest.fixture(scope="module")
def data_path(tmp_path_factory):
    """White training images and test images that are half white."""
    path = tmp_path_factory.mktemp("data") / "images.npz"
    test = np.zeros((30, 6, 6, 1), np.uint8)
    test[:15, 1:3] = 255
    test[15:, :, 2] = 200
    np.savez(path, x_train=np.full((40, 6, 6, 1), 255, np.uint8), x_test=test)
    return str(path)


def _model(data_path, binarize="threshold", latent_dim=2):
    model = vivid(tiny_cvae(seed=1, latent_dim=latent_dim, binarize=binarize))
    config = {**METADATA["config"], "data_path": data_path, "binarize": binarize}
    metadata = {"config": config, "data": {**METADATA["data"], "name": "images.npz"}}
    return evaluated_model.from_model(model, metadata)


@pytest.fixture(scope="module")
def found(data_path):
    request = EvaluationSettings(importance_samples="1,50", batch_size=500)
    return evaluating.evaluate(_model(data_path), request)


def test_test_images_are_evaluated_and_no_training_images(found, data_path):
    with np.load(data_path) as arrays:
        np.testing.assert_array_equal(found.pixels, arrays["x_test"] > 127)
    assert found.images.origin == "images.npz test"


def test_numbers_fit_together(found):
    numbers = {(number.quantity, number.how): number for number in evaluating.numbers(found)}
    nats = {name: number.nats.mean for name, number in numbers.items()}
    assert nats["ELBO", "10"] == pytest.approx(
        nats["log-likelihood", "10"] - nats["KL", "closed form"]
    )
    exact = nats["log p(x), exact", "quadrature"]
    assert nats["gap: log p(x) - ELBO", "10"] == pytest.approx(exact - nats["ELBO", "10"])
    bound = nats["importance-weighted bound", "50"]
    assert nats["gap: log p(x) - bound", "50"] == pytest.approx(exact - bound)
    assert nats["ELBO", "10"] < bound < exact
    bits, error = numbers["ELBO", "10"].bits
    assert bits == pytest.approx(-nats["ELBO", "10"] / (36 * math.log(2)))
    assert error == pytest.approx(numbers["ELBO", "10"].nats.standard_error / (36 * math.log(2)))
    assert numbers["KL", "closed form"].bits.mean > 0
    by_dimension = [nats[f"KL of latent dimension {i}", "closed form"] for i in (1, 2)]
    assert nats["KL", "closed form"] == pytest.approx(sum(by_dimension))  # a sum, no average
    mean, logvar = (part.astype(float) for part in found.posteriors)
    kl = 0.5 * np.sum(np.exp(logvar) + mean**2 - 1 - logvar, axis=1)
    assert nats["KL", "closed form"] == pytest.approx(kl.mean(), rel=1e-5)


def test_every_number_names_its_conditions(found, tmp_path, monkeypatch):
    monkeypatch.setattr(true_posterior, "_LEAST_SHARE", 0)  # a picture in any case
    written = report.write(found, tmp_path / "numbers.json")
    assert [path.name for path in written] == [
        "numbers.json", "numbers_images.csv", "numbers.png", "numbers_posterior.png",
    ]  # fmt: skip
    contents = json.loads(written[0].read_text())
    for number in contents["numbers"]:
        conditions = [number[name] for name in ("binarize", "seed", "split", "images")]
        assert conditions == ["threshold", 0, "images.npz test", 30]
        assert math.isfinite(number["nats_per_image"]) and number["method"]
    assert contents["active_units"].items() >= {"of": 2, "seed": 0, "images": 30}.items()
    for picture in written[2:]:
        assert iio.imread(picture).std() > 10
    lines = [line for line in report.as_table(found).splitlines() if "+-" in line]
    assert len(lines) == len(contents["numbers"])
    assert all("threshold, seed 0, images.npz test" in line for line in lines)


def test_grey_levels_under_the_cross_entropy_have_no_likelihood(data_path, tmp_path):
    request = EvaluationSettings(importance_samples="1,50")
    grey = evaluating.evaluate(_model(data_path, binarize="none"), request)
    names = [number.quantity for number in evaluating.numbers(grey)]
    by_dimension = [f"KL of latent dimension {i}" for i in (1, 2)]
    assert names == ["negative cross-entropy", "KL", "pseudo-ELBO", *by_dimension]
    assert "no log-likelihood" in report.as_table(grey)
    written = report.write(grey, tmp_path / "grey.json")
    assert "likelihood" not in json.dumps(json.loads(written[0].read_text())["numbers"]).replace(
        '"likelihood": "bernoulli"', ""
    )


def test_the_report_says_what_bits_are(data_path):
    found = evaluating.evaluate(
        _model(data_path, latent_dim=3), EvaluationSettings(importance_samples="2")
    )
    said = {}
    for likelihood in ("bernoulli", "gaussian", "discretized_logistic"):
        pixels = Pixels("none" if likelihood != "bernoulli" else "threshold", likelihood)
        said[likelihood] = report.as_table(
            found._replace(model=found.model._replace(pixels=pixels))
        )
    assert "do not compare" in said["gaussian"] and "256 levels for" not in said["gaussian"]
    assert "probabilities of 256 levels" in said["discretized_logistic"]
    assert "densities" not in said["discretized_logistic"]
    assert "levels" not in said["bernoulli"]


def test_grey_levels_of_colours_have_numbers_of_their_bits(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8)
    np.savez(tmp_path / "colours.npz", images=images)
    settings = {"network": "patches", "binarize": "none", "likelihood": "discretized_logistic"}
    config = Config.create(**settings, latent_dim=3)
    model = CVAE.from_settings(config, (8, 8, 3), 1)
    found = evaluating.evaluate(
        evaluated_model.from_model(model, {"config": config.to_json()}),
        EvaluationSettings(data_path=str(tmp_path / "colours.npz"), importance_samples="50"),
    )
    numbers = {(number.quantity, number.how): number for number in evaluating.numbers(found)}
    nats, bits = numbers["ELBO", "10"][2:]
    assert bits.mean == pytest.approx(-nats.mean / (192 * math.log(2)))
    assert 7 < bits.mean < 10  # of noise, in which are 8
    assert nats.mean < numbers["importance-weighted bound", "50"].nats.mean


def test_more_dimensions_have_bounds_but_no_quadrature(data_path, tmp_path):
    request = EvaluationSettings(importance_samples="3", samples=2)
    found = evaluating.evaluate(_model(data_path, latent_dim=3), request)
    assert found.exact is None
    assert not any("exact" in number.quantity for number in evaluating.numbers(found))
    assert len(report.write(found, tmp_path / "three.json")) == 3


def test_other_images_may_be_given(data_path, tmp_path):
    images = np.zeros((3, 6, 6), np.uint8)
    images[1:, 2] = 255
    np.savez(tmp_path / "mine.npz", images=images)
    request = EvaluationSettings(data_path=str(tmp_path / "mine.npz"), importance_samples="2")
    found = evaluating.evaluate(_model(data_path, latent_dim=3), request)
    assert len(found.pixels) == 3 and found.images.origin.startswith("images of")


def test_what_was_done_to_the_images_is_named(data_path):
    request = EvaluationSettings(data_path=data_path, importance_samples="2", invert=True)
    found = evaluating.evaluate(_model(data_path, latent_dim=3), request)
    assert found.images.origin == f"x_test of {data_path}, inverted"


def test_every_image_has_its_row(found, tmp_path):
    table = report.write(found, tmp_path / "a.json")[1]
    with table.open() as file:
        names = next(csv.reader(file))
    rows = np.loadtxt(table, delimiter=",", skiprows=1)
    np.testing.assert_array_equal(rows[:, 0], np.arange(30))
    np.testing.assert_allclose(rows[:, names.index("ELBO (K = 10)")], found.elbo, atol=1e-4)
    exact = rows[:, names.index("log p(x), exact")]
    np.testing.assert_allclose(exact, found.exact.log_evidence, atol=1e-4)


def test_a_single_image_has_no_standard_error(data_path, tmp_path):
    np.savez(tmp_path / "one.npz", images=np.eye(6, dtype=np.uint8)[None] * 255)
    request = EvaluationSettings(data_path=str(tmp_path / "one.npz"), importance_samples="2")
    found = evaluating.evaluate(_model(data_path, latent_dim=3), request)
    assert "+-" not in report.as_table(found)
    assert all(number["standard_error"] is None for number in report.as_json(found)["numbers"])


def test_pictures_call_the_cross_entropy_no_elbo(data_path, tmp_path, monkeypatch):
    grey = evaluating.evaluate(
        _model(data_path, binarize="none"), EvaluationSettings(importance_samples="1,50")
    )
    drawn = []
    monkeypatch.setattr(pictures, "save", lambda figure, path: drawn.append(figure))
    report.write(grey, tmp_path / "grey.json")
    texts = [text.get_text() for text in drawn[0].findobj(Text)]
    assert "pseudo-ELBO" in texts
    assert "ELBO" not in texts and not any("log p(x)" in text for text in texts)


@pytest.mark.parametrize(
    "settings",
    [
        {"importance_samples": "0"},
        {"importance_samples": "10,0"},
        {"importance_samples": "ten"},
        {"importance_samples": ""},
        {"importance_samples": "-5"},
        {"samples": 0},
        {"batch_size": 0},
        {"seed": -1},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(UserError, match="--" + next(iter(settings))):
        EvaluationSettings(**settings)


def test_gaps_add_up_to_what_the_encoder_loses(found):
    nats = {number.quantity: number.nats.mean for number in evaluating.numbers(found)}
    gaps = [
        nats[name]
        for name in (
            "gap: refined - encoder's",
            "gap: best Gaussian - refined",
            "gap: log p(x) - best Gaussian",
        )
    ]
    assert sum(gaps) == pytest.approx(nats["log p(x), exact"] - nats["ELBO"], abs=1e-6)
    assert nats["ELBO, refined"] == pytest.approx(nats["ELBO"] + gaps[0])
    assert gaps[0] > 0.1 and gaps[1] > -0.05 and gaps[2] > 0
    bounds = found.refined.bounds.importance_weighted
    assert bounds[50].mean() < nats["log p(x), exact"] + 0.02


def test_the_table_names_both_posteriors_and_what_a_sample_is_worth(found):
    table = report.as_table(found)
    assert "ELBO, refined" in table and "found by 5 Gauss-Newton steps" in table
    assert "one sample of the refined posterior (K = 1) is worth" in table
    assert report.as_json(found)["numbers"][0]["refine"] == 5


def test_without_refinement_there_is_the_encoder_alone(data_path):
    settings = EvaluationSettings(importance_samples="1", refine=0)
    plain = evaluating.evaluate(_model(data_path), settings)
    assert plain.refined is None and plain.exact is not None
    assert not [n for n in evaluating.numbers(plain) if "refined" in n.quantity]


def test_refinement_that_cannot_be_is_refused(data_path):
    model = _model(data_path)._replace(can_refine=False)
    assert evaluating.evaluate(model, EvaluationSettings(importance_samples="1")).refined is None
    with pytest.raises(UserError, match="--refine=3: This model cannot refine"):
        evaluating.evaluate(model, EvaluationSettings(importance_samples="1", refine=3))


@pytest.mark.parametrize(
    ("is_exact", "sizes"), [(True, [1, 10]), (False, [1, 10, 100, 1000, 5000])]
)
def test_numbers_of_samples_follow_what_else_is_known(is_exact, sizes):
    assert EvaluationSettings().sizes(is_exact) == sizes
    assert EvaluationSettings(importance_samples="7,3").sizes(is_exact) == [3, 7]
