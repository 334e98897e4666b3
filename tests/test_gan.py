"""A GAN through the ordinary functions: trained, exported, used, evaluated."""

import numpy as np
import pytest

from cvae_tf import api
from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.distances import for_dataset, frechet_distance, statistics
from cvae_tf.evaluation.evaluating import Distance


def test_a_run_has_its_own_measures_and_no_pictures_of_an_encoder(gan_run):
    names = {path.name for path in gan_run.directory.iterdir()}
    assert names >= {"metrics.csv", "curves.png", "progress.gif", "images", "checkpoints", "export"}
    assert not names & {"manifold.png", "latents.png"}
    row = gan_run.history[-1]
    assert list(row)[2:9] == [
        "train_discriminator_loss", "train_generator_loss", "train_probability_of_real",
        "train_probability_of_drawn", "train_accuracy", "test_frechet_distance", "test_spread",
    ]  # fmt: skip
    assert all(np.isfinite(value) for value in row.values())


def test_it_draws_and_judges_alone_and_its_card_says_what_it_is(gan_run, gan):
    assert gan.abilities == ("sample", "decode", "score")
    card = (gan_run.saved_model / "README.md").read_text()
    assert card.startswith("# A generative adversarial network of 28 x 28 images")
    assert "tells real images from drawn ones" in card and "Frechet distance" in card


def test_samples_of_the_exported_model_are_as_far_as_in_training(gan_run, gan):
    dataset = api.load_dataset(data_path=gan_run.config.data_path)
    features = for_dataset(dataset)
    latents = gan.sample_latents(32, derived_key(3, Purpose.DRAWN_IMAGES)).numpy()
    both = dataset.test.images / np.float32(255), gan.decode(latents)
    found = frechet_distance(*(statistics(features.of(images)) for images in both))
    own = gan_run.history[-1]["test_frechet_distance"]
    assert found == pytest.approx(own, rel=0.01, abs=0.01)


def test_it_is_evaluated_by_distance(gan_run, tmp_path, capsys):
    found = api.evaluate(gan_run.directory, tmp_path / "found.json")
    assert isinstance(found, Distance) and found.images == 32
    assert found.frechet > found.floor > 0 and 0 <= found.share.precision <= 1
    assert "Frechet distance" in capsys.readouterr().out
    with pytest.raises(UserError, match="no likelihood to evaluate; it has --measures=distance"):
        api.evaluate(gan_run.directory, measures="likelihood", verbose=0)


@pytest.mark.parametrize(
    ("mode", "settings"),
    [("nearest", {"num": 9}), ("interpolate", {"start": "0,0,0,0,0,0,0,0", "end": "7"})],
)
def test_modes_without_an_encoder_make_images(gan, tmp_path, mode, settings):
    made = api.generate(gan, mode, tmp_path, verbose=0, **settings)
    assert made.files[0].stat().st_size > 500
    assert made.arrays["images"].shape[1:] == (28, 28, 1)
    if mode == "interpolate":  # a number is what a seed draws
        drawn = gan.sample(64, seed=7)[0]
        np.testing.assert_allclose(made.arrays["images"][-1], drawn, atol=1e-5)
