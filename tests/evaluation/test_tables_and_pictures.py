"""An evaluation as numbers, a table, JSON, CSV and pictures, which fit together."""

import csv
import json
import math
import re

import imageio.v3 as iio
import numpy as np
import pytest
from helpers import METADATA, designed_model, tiny_cvae, vivid

from cvae_tf.core.errors import UserError
from cvae_tf.evaluation import evaluating
from cvae_tf.evaluation.settings import EvaluationSettings
from cvae_tf.evaluation.tables_and_pictures import as_json, as_table, write
from cvae_tf.models.vae.likelihoods import Pixels


@pytest.fixture(scope="module")
def data_path(tmp_path_factory):
    """White training images and test images that are half white."""
    path = tmp_path_factory.mktemp("data") / "images.npz"
    test = np.zeros((30, 6, 6, 1), np.uint8)
    test[:15, 1:3] = 255
    test[15:, :, 2] = 200
    np.savez(path, x_train=np.full((40, 6, 6, 1), 255, np.uint8), x_test=test)
    return str(path)


def _model(data_path, binarize="threshold", latent_dim=3):
    model = vivid(tiny_cvae(seed=1, latent_dim=latent_dim, binarize=binarize))
    config = {**METADATA["config"], "data_path": data_path, "binarize": binarize}
    metadata = {"config": config, "data": {**METADATA["data"], "name": "images.npz"}}
    return model.with_metadata(metadata)


@pytest.fixture(scope="module")
def found(data_path):
    request = EvaluationSettings(importance_samples="1,50", batch_size=5000)
    return evaluating.evaluate_likelihood(_model(data_path, latent_dim=2), request)


def test_numbers_of_the_test_images_fit_together(found, data_path):
    numbers = {(number.quantity, number.how): number for number in evaluating.numbers(found)}
    with np.load(data_path) as arrays:  # and no training images
        np.testing.assert_array_equal(found.pixels, arrays["x_test"] > 127)
    nats = {name: number.nats.mean for name, number in numbers.items()}
    elbo, kl = nats["ELBO", "10"], nats["KL", "closed form"]
    assert elbo == pytest.approx(nats["log-likelihood", "10"] - kl)
    exact, bound = nats["log p(x), exact", "quadrature"], nats["importance-weighted bound", "50"]
    assert nats["gap: log p(x) - ELBO", "10"] == pytest.approx(exact - elbo)
    assert nats["gap: log p(x) - bound", "50"] == pytest.approx(exact - bound)
    gained, left = nats["gap: refined - encoder's", "10"], nats["gap: log p(x) - refined", "10"]
    assert gained + left == pytest.approx(exact - elbo, abs=1e-6)
    assert nats["ELBO, refined", "10"] == pytest.approx(elbo + gained)
    assert elbo < bound < exact and gained > 0.1 and left > 0
    number, bit = numbers["ELBO", "10"], 36 * math.log(2)
    assert number.bits == pytest.approx((-elbo / bit, number.nats.standard_error / bit))
    assert numbers["KL", "closed form"].bits.mean > 0
    mean, logvar = (part.astype(float) for part in found.posteriors)
    expected = 0.5 * (np.exp(logvar) + mean**2 - 1 - logvar).mean(axis=0)
    by_dimension = [nats[f"KL of latent dimension {i}", "closed form"] for i in (1, 2)]
    np.testing.assert_allclose([*by_dimension, kl], [*expected, expected.sum()], rtol=1e-5)


def test_every_number_names_its_conditions_and_every_image_has_its_row(found, tmp_path):
    written = write(found, tmp_path / "numbers.json")
    assert [path.name for path in written] == ["numbers.json", "numbers_images.csv", "numbers.png"]
    contents = json.loads(written[0].read_text())
    conditions = {"binarize": "threshold", "seed": 0, "split": '"images.npz" test', "images": 30}
    for number in contents["numbers"]:
        assert number.items() >= conditions.items() and number["method"]
        assert math.isfinite(number["nats_per_image"])
    assert iio.imread(written[2]).std() > 10
    table = as_table(found)
    assert len(re.findall(r"\d \+- \d", table)) == len(contents["numbers"])
    conditions = 'Means over 30 images ("images.npz" test), +- standard error; binarisation'
    assert table.count(conditions) == table.count("seed 0") == 1
    exact, elbo, refined = (each.mean() for each in (
        found.log_evidence, found.elbo, found.refined.elbo))  # fmt: skip
    likely, missed, used = table.splitlines()[1:4]
    assert f"log p(x) is {exact:,.2f} nats on average" in likely
    assert f"misses: {exact - elbo:,.2f} nats" in missed and f"{exact - refined:,.2f}." in missed
    assert "of 2 latent dimensions are in use" in used
    with written[1].open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30
    for name, values in (("ELBO (K = 10)", found.elbo), ("log p(x), exact", found.log_evidence)):
        np.testing.assert_allclose([float(row[name]) for row in rows], values, atol=1e-4)


def test_grey_levels_under_the_cross_entropy_have_no_likelihood(data_path):
    request = EvaluationSettings(importance_samples="1,50")
    grey = evaluating.evaluate_likelihood(_model(data_path, binarize="none", latent_dim=2), request)
    names = [number.quantity for number in evaluating.numbers(grey)]
    by_dimension = [f"KL of latent dimension {i}" for i in (1, 2)]
    assert names == ["negative cross-entropy", "KL", "pseudo-ELBO", *by_dimension]
    assert "no log-likelihood" in as_table(grey)


def test_other_images_or_one_may_be_given_and_what_was_done_to_them_is_named(data_path, tmp_path):
    def evaluate(data_path, **settings):
        chosen = EvaluationSettings(
            importance_samples="2", samples=2, data_path=str(data_path), **settings
        )
        return evaluating.evaluate_likelihood(_model(data_path), chosen)

    found = evaluate(data_path, invert=True)
    assert found.images.origin == f"x_test of {data_path}, inverted"
    assert found.exact is found.refined is None  # with three latents
    assert len(write(found, tmp_path / "three.json")) == 3
    bound = found.bounds.importance_weighted[2].mean()
    assert f"log p(x) is at least {max(bound, found.elbo.mean()):,.2f} nats" in as_table(found)
    kl = np.tile(np.arange(12.0), (30, 1))  # many dimensions: the largest alone
    shown = re.findall(r"KL of latent dimension (\d+) ", as_table(found._replace(
        kl=kl, model=designed_model(None, None, 12, (6, 6, 1)))))  # fmt: skip
    assert shown == ["12", "11", "10", "9", "8"]
    pixels = Pixels("none", "gaussian")
    gaussian = designed_model(None, None, 3, (6, 6, 1), pixels=pixels)
    assert "do not compare" in as_table(found._replace(model=gaussian))  # of bits
    np.savez(tmp_path / "one.npz", images=np.eye(6, dtype=np.uint8)[None] * 255)
    one = as_json(evaluate(tmp_path / "one.npz"))  # without an error of its mean
    assert all(number["standard_error"] is None for number in one["numbers"])


def test_settings_are_in_range_and_follow_what_else_is_known():
    for name, value in (("importance_samples", "10,0"), ("samples", 0), ("seed", -1)):
        with pytest.raises(UserError, match=f"--{name}"):
            EvaluationSettings(**{name: value})
    for is_exact, sizes in ((True, [1, 10]), (False, [1, 10, 100, 1000, 5000])):
        assert EvaluationSettings().sizes(is_exact) == sizes
        assert EvaluationSettings(importance_samples="7,3").sizes(is_exact) == [3, 7]
    model = designed_model(None, None, 3, (6, 6, 1))
    with pytest.raises(UserError, match="--refine=3: This model cannot refine"):
        evaluating.check_model(model, EvaluationSettings(refine=3))
