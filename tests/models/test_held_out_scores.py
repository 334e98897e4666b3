"""Scores of held-out images, and the p-values that follow from them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import METADATA

import cvae_tf
from cvae_tf.core.errors import LostImagesError, UserError
from cvae_tf.data.datasets import Split
from cvae_tf.exporting import loading, writing
from cvae_tf.exporting.refined_model import RefinedModel, RegretModel
from cvae_tf.exporting.relative_model import RelativeModel
from cvae_tf.generation.generating import generate
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.models.networks.building import build_networks
from cvae_tf.models.vae import amounts, held_out_scores
from cvae_tf.models.vae.held_out_scores import HeldOutScores
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.pixels import Pixels
from cvae_tf.training import building

SCORERS = {
    "elbo": lambda model: model,
    "refined": lambda model: RefinedModel(model, amounts.STEPS),
    "regret": lambda model: RegretModel(model, amounts.STEPS),
    "relative": RelativeModel,
}


def _untrained():
    model = CVAE(build_networks("patches", (28, 28, 1), latent_dim=2, seed=3), seed=3)
    model.compile(keras.optimizers.SGD())
    return model


@pytest.fixture(scope="module")
def model(exported_finished_digits):
    return loading.load(exported_finished_digits)


def test_p_values_count_what_is_as_low():
    scores = HeldOutScores()
    assert scores.known == {}
    held_out = np.random.default_rng(0).normal(size=99).astype(np.float32)
    scores.take("encoders", held_out)
    assert scores.known == {"encoders": 99}
    new = np.array([-np.inf, *held_out[:5], 0.3, np.inf], np.float32)
    expected = [(1 + np.sum(held_out <= value)) / 100 for value in new]
    np.testing.assert_allclose(scores.p_values("encoders", tf.constant(new)), expected, rtol=1e-6)


def test_what_has_no_finite_score_is_the_most_unusual():
    scores = HeldOutScores()
    scores.take("refined", np.array([1.0, np.nan, -np.inf, 3.0, 2.0]))
    assert scores.known == {"refined": 5}
    p_values = scores.p_values("refined", tf.constant([np.nan, -np.inf, 0.5, 2.0, 9.0]))
    np.testing.assert_allclose(p_values, np.array([3, 3, 3, 5, 6]) / 6, rtol=1e-6)


@pytest.mark.parametrize(("kind", "num"), [("encoders", 49), ("relative", 19)])
def test_a_rate_of_usual_images_gets_p_values_up_to_it(kind, num):
    random = np.random.default_rng(1)
    rates = []
    for _ in range(200):
        scores, known = HeldOutScores(), random.gamma(2.0, size=num)
        new = tf.constant(random.gamma(2.0, size=100), tf.float32)
        if kind == "encoders":
            scores.take(kind, known)
        else:  # scores that have nothing to do with how complex the images are
            complexities = random.normal(size=(num + 100, 2)).astype(np.float32)
            scores.take_relative(complexities[:num], known)
            new = scores.relative(complexities[num:], new)
        rates.append(np.mean(scores.p_values(kind, new).numpy() <= 0.1))
    error = np.std(rates) / 200**0.5
    assert np.mean(rates) <= 0.1 + 4 * error
    assert np.mean(rates) >= (0.1 - 4 * error if kind == "encoders" else 0.05)


@pytest.mark.parametrize("kind", ["elbo", "refined", "regret", "relative"])
def test_an_exported_model_knows_how_unusual_its_test_images_are(model, digits, kind):
    scorer = SCORERS[kind](model)
    scores = scorer.mean_scores(digits.test.images, seed=3, num_samples=amounts.SCORE_SAMPLES)[
        "elbo"
    ]
    p_values = scorer.p_values(scores)
    ranks = (1 + np.argsort(np.argsort(scores))) / (1 + len(scores))
    np.testing.assert_allclose(p_values, ranks, atol=0.1)  # other noise, the same images


def test_the_saved_model_has_the_scores_of_the_model(finished_digits, exported_finished_digits):
    functions = tf.saved_model.load(str(exported_finished_digits))
    signatures = {"encoders": "p_values"}
    signatures |= {kind: f"p_values_{kind}" for kind in ("refined", "regret", "relative")}
    for kind, signature in signatures.items():
        variables = finished_digits.held_out_scores.variables
        held_out = next(each for each in variables if each.name == kind).numpy()
        scores = tf.constant(np.quantile(held_out[np.isfinite(held_out)], [0, 0.2, 0.5, 1]) + 0.01)
        scores = tf.cast(scores, tf.float32)
        expected = finished_digits.held_out_scores.p_values(kind, scores)
        np.testing.assert_array_equal(
            getattr(functions, signature)(scores=scores)["p_values"], expected
        )
        assert len(np.unique(expected)) == 4


def _small_run(data_path, place):
    settings = {"data_path": data_path, "epochs": 1, "network": "mlp", "hidden": "8"}
    return cvae_tf.train(run_dir=place / "run", verbose=0, **settings)


def test_scores_are_kept_with_the_run(small_npz, tmp_path, capsys):
    trained = _small_run(small_npz, tmp_path).directory
    run, model = building.load_trained(str(trained))[:2]
    assert model.held_out_scores.known == dict.fromkeys(
        ("encoders", "refined", "regret", "relative"), 32
    )
    assert "missing" not in capsys.readouterr().out
    run.finishing.unlink()
    model = building.load_trained(str(trained)).model
    assert "missing: its scores come without p-values; train.py --resume" in capsys.readouterr().out
    assert model.held_out_scores.known == {} and "p_values" not in model.signatures()


def _anomalies(model, output, **settings):
    chosen = GenerationSettings.create("anomalies", **settings)
    return generate(model, "anomalies", chosen, output)


def test_images_that_were_never_seen_are_marked_at_the_rate(digits, tmp_path_factory, tmp_path):
    """Half of the test images are held out, the other half is new."""
    half = digits._replace(test=Split(digits.test.images[::2], digits.test.labels[::2]))
    directory = tmp_path_factory.mktemp("half") / "1"
    own = _untrained()
    own.finish("held_out_scores", half)
    writing.write_model(own, "saved_model", directory, METADATA)
    new = digits.test.images[1::2]
    np.savez(tmp_path / "images.npz", images=new)
    settings = {"data_path": str(tmp_path / "images.npz"), "false_alarms": 0.2}
    made = _anomalies(loading.load(directory), tmp_path / "made", **settings)
    marked = made.arrays["marked"]
    assert np.mean(marked) == pytest.approx(0.2, abs=3 * (2 * 0.16 / len(new)) ** 0.5)
    lines = (tmp_path / "made" / "anomalies.csv").read_text().splitlines()
    assert lines[0].endswith(",p_value,marked")
    assert sum(line.endswith(",yes") for line in lines) == marked.sum()
    assert made.notes[0].startswith(f"{marked.sum():,} of {len(marked):,} images are marked")
    assert len(made.notes) == 1


def test_that_test_images_are_compared_with_themselves_is_said(model, tmp_path):
    assert "compared with" in _anomalies(model, tmp_path / "own", num=4).notes[-1]


OF_ENCODER = ["encoders", "relative"]
ALL = [*OF_ENCODER, "refined", "regret"]
CASES = [
    ({"num_classes": 3}, Pixels(), ALL),
    ({}, Pixels("dynamic"), ALL),
    ({}, Pixels("none"), ALL),
    ({"latent_dim": 65}, Pixels(), OF_ENCODER),
]


@pytest.mark.parametrize(("options", "pixels", "kinds"), CASES)
def test_models_of_every_kind_score_held_out_images(options, pixels, kinds):
    options = {"latent_dim": 2, **options}
    networks = build_networks("mlp", (8, 8, 1), seed=1, **options)
    own = CVAE(networks, 1, pixels, num_classes=options.get("num_classes", 0))
    images = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 1), np.uint8)
    held_out_scores.measure(own, Split(images, np.arange(300) % 3))
    assert own.held_out_scores.known == dict.fromkeys(kinds, 300)
    better = {"p_values_refined", "p_values_regret"} if "refined" in kinds else set()
    expected = {"p_values", "p_values_relative", *better}
    assert {name for name in own.signatures() if name.startswith("p_values")} == expected


def test_regrets_are_of_the_images_that_were_refined(monkeypatch):
    own = CVAE(build_networks("mlp", (8, 8, 1), latent_dim=2, seed=1), 1)
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), np.uint8)
    monkeypatch.setattr(held_out_scores, "_FEWEST", 5)
    monkeypatch.setattr(held_out_scores, "_MOST_PIXELS", 20 * 64 * 26)  # 32 for the encoder's
    held_out_scores.measure(own, Split(images, None))
    assert own.held_out_scores.known == {
        "encoders": 32,
        "relative": 32,
        "refined": 20,
        "regret": 20,
    }


def test_large_images_are_fewer(monkeypatch):
    own = CVAE(build_networks("mlp", (8, 8, 1), latent_dim=65, seed=1), 1)
    images = np.zeros((40, 8, 8, 1), np.uint8)
    monkeypatch.setattr(held_out_scores, "_FEWEST", 5)
    monkeypatch.setattr(held_out_scores, "_MOST_PIXELS", 7 * 64 * 16)
    held_out_scores.measure(own, Split(images, None))
    assert own.held_out_scores.known == {"encoders": 7, "relative": 7}


@pytest.mark.parametrize(
    "error", [tf.errors.ResourceExhaustedError(None, None, "no memory"), LostImagesError("gone")]
)
def test_failing_at_the_end_does_not_cost_the_model(small_npz, tmp_path, monkeypatch, error):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(held_out_scores, "measure", fail)
    run = _small_run(small_npz, tmp_path)
    assert "p_values" not in loading.load(run.saved_model).abilities


def test_rates_that_cannot_be_told_are_refused(model, tmp_path):
    with pytest.raises(UserError, match="smallest rate"):
        _anomalies(model, tmp_path / "a", false_alarms=1e-6)
    with pytest.raises(UserError, match="--refine=5 only"):
        _anomalies(model, tmp_path / "b", false_alarms=0.1, refine=2)
    assert not (tmp_path / "a" / "anomalies.csv").exists()
