"""Runs as people start them, in a process of its own, and what their files must say."""

import json

import numpy as np
import pytest
import tensorflow as tf
from helpers import VAE_SETTINGS, assert_same_runs
from PIL import Image

from cvae_tf import api
from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.distances import for_dataset, frechet_distance, statistics
from cvae_tf.evaluation.evaluating import Distance
from cvae_tf.exporting import formats
from cvae_tf.training import building


def _contents(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_train_py_leaves_a_whole_run_and_says_what_it_did(vae_run, small_npz):
    run, rows = vae_run.directory, vae_run.history
    assert {path.name for path in run.parent.iterdir()} == {"run", "said.json"}
    names = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    checkpoints = [f"checkpoints/step_0000000{step}" for step in (4, 8)]
    assert {name for name in names if not name.startswith("export/1/")} == {
        "config.json", "metrics.csv", "finishing.npz", "progress.gif", "manifold.png",
        "latents.png", "curves.png", "report.html",
        *(f"{place}/{name}" for place in checkpoints for name in ("state.npz", "SHA256SUMS")),
        *(f"images/image_at_epoch_000{epoch}.png" for epoch in range(3)),
    }  # fmt: skip
    assert {"export/1/saved_model.pb", "export/1/model.json", "export/1/README.md"} <= names

    contents = json.loads((run / "config.json").read_text())
    assert contents["config"] == Config.create(data_path=small_npz, **VAE_SETTINGS).to_json()
    described = json.loads((run / "export" / "1" / "model.json").read_text())
    assert (described["config"], described["data"]) == (contents["config"], contents["data"])
    assert described["metrics"] == rows[-1]
    assert described["versions"]["tensorflow"] == tf.__version__
    output, errors = json.loads((run.parent / "said.json").read_text())
    assert errors == ""
    for part in (str(small_npz), "epoch 1/2: test ELBO", "epoch 2/2", "export/1"):
        assert part in output
    assert f"{rows[1]['test_elbo']:.2f}" in output

    assert [(row["epoch"], row["step"]) for row in rows] == [(1, 4), (2, 8)]
    for row in rows:
        assert row["test_elbo"] == pytest.approx(row["test_log_likelihood"] - row["test_kl"])
    assert -784 < rows[0]["test_elbo"] < rows[1]["test_elbo"] < -50
    with Image.open(run / "progress.gif") as gif:
        assert gif.n_frames == 3


def test_the_same_seed_gives_the_same_bits_in_another_process(
    vae_run, small_npz, tmp_path, training_only
):
    run = api.train(run_dir=tmp_path / "run", data_path=small_npz, verbose=0, **VAE_SETTINGS)
    arrays = assert_same_runs(vae_run, run)
    assert len(arrays) > 30


def test_the_elbo_of_a_run_is_that_of_its_checkpoint(vae_run, small_npz):
    """Computed by the formula, with the networks alone."""
    model = building.load_trained(vae_run.directory).model
    with np.load(small_npz) as arrays:
        images = (arrays["x_test"][..., None] > 127).astype(np.float32)
    mean, logvar = np.split(model.encoder(images).numpy().astype(np.float64), 2, axis=1)
    noise = np.random.default_rng(0).normal(size=(20, *mean.shape))
    latents = (mean + np.exp(logvar / 2) * noise).reshape(-1, 2)
    logits = model.decoder(latents.astype(np.float32)).numpy().astype(np.float64)
    logits = logits.reshape(20, *images.shape)
    log_likelihood = (images * logits - np.logaddexp(0, logits)).sum(axis=(2, 3, 4)).mean(axis=1)
    kl = 0.5 * (np.exp(logvar) + mean**2 - 1 - logvar).sum(axis=1).mean()
    row, error = vae_run.history[-1], log_likelihood.std()
    assert abs(log_likelihood.mean() - row["test_log_likelihood"]) < 5 * error + 0.01
    assert abs(log_likelihood.mean() - kl - row["test_elbo"]) < 5 * error + 0.5


def test_an_export_elsewhere_replaces_nothing_and_the_run_stays_as_it_is(
    vae_run, tmp_path, monkeypatch
):
    def write(model, place, metadata):
        (place / "saved_model.pb").write_text(metadata["data"]["name"])

    monkeypatch.setitem(formats.FORMATS, "saved_model", formats.Format(write))
    before, new = _contents(vae_run.directory), tmp_path / "new" / "place"
    assert api.export(vae_run.directory, new, verbose=0) == new / "1"
    mine = tmp_path / "old" / "progress.gif"
    mine.parent.mkdir()
    mine.write_text("mine")
    for output, message in ((mine.parent, "exists"), (mine, "cannot be written")):
        with pytest.raises(UserError, match=message):
            api.export(vae_run.directory, output, verbose=0)
        assert list(_contents(mine.parent).values()) == [b"mine"]
    assert _contents(vae_run.directory) == before


# A GAN through the ordinary functions: trained, exported, used, evaluated.


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
