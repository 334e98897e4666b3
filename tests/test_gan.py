"""A GAN through the ordinary functions: trained, stopped, resumed, exported, used, evaluated."""

import dataclasses

import imageio.v3 as imageio
import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from conftest import PROJECT, assert_same_runs, run_python, train_twice

from cvae_tf import workflows
from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.distances.frechet import frechet_distance, statistics
from cvae_tf.evaluation import distance
from cvae_tf.exporting import loading
from cvae_tf.models.gan import comparison

TINY = {"model": "gan", "latent_dim": 8, "epochs": 2, "batch_size": 32, "seed": 3}


pytestmark = pytest.mark.usefixtures("quick_features")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, small_npz, quick_features):
    place = tmp_path_factory.mktemp("gan") / "run"
    return workflows.train(run_dir=place, data_path=str(small_npz), verbose=0, **TINY)


@pytest.fixture(scope="module")
def model(trained):
    return workflows.loading.load(trained.saved_model)


def test_a_run_has_everything(trained):
    names = {path.name for path in trained.directory.iterdir()}
    assert names >= {"metrics.csv", "curves.png", "progress.gif", "images", "checkpoints", "export"}
    assert not names & {"manifold.png", "latents.png"}
    row = trained.history[-1]
    assert list(row)[2:9] == [
        "train_discriminator_loss", "train_generator_loss", "train_probability_of_real",
        "train_probability_of_drawn", "train_accuracy", "test_frechet_distance", "test_spread",
    ]  # fmt: skip
    assert all(np.isfinite(value) for value in row.values())
    assert (trained.config.preset, trained.config.network) == ("gan", "sub_pixel")


@pytest.mark.slow
@pytest.mark.parametrize(
    "more", [{}, {"conditional": True, "spectral_norm": True}, {"preset": "dcgan"}]
)
def test_a_stopped_run_ends_the_same(tmp_path, small_npz, monkeypatch, more):
    settings = {**TINY, "data_path": str(small_npz), "flip": True, **more}
    whole, resumed = train_twice(tmp_path, monkeypatch, **settings)
    arrays = assert_same_runs(whole, resumed)
    assert {name.split(".")[0] for name in arrays} >= {
        "generator", "discriminator", "optimizer", "discriminator_optimizer",
    }  # fmt: skip
    decoded = [loading.load(run.saved_model).sample(4, seed=1) for run in (whole, resumed)]
    np.testing.assert_array_equal(*decoded)


def test_the_exported_model_draws_and_judges_with_tensorflow_alone(trained, model):
    functions = tf.saved_model.load(str(trained.saved_model))
    images = functions.sample(num=5, seed=[1, 2])["images"]
    assert images.shape == (5, 28, 28, 1)
    np.testing.assert_array_equal(images, functions.sample(num=5, seed=[1, 2])["images"])
    logits = functions.score(images)["logit"]
    alone = [functions.score(images[i : i + 1])["logit"][0] for i in range(5)]
    np.testing.assert_allclose(logits, alone, atol=1e-4)
    assert functions.score(images[:0])["logit"].shape == (0,)
    assert functions.decode(tf.zeros([0, 8]))["images"].shape == (0, 28, 28, 1)
    assert set(model.abilities) == {"sample", "decode", "score", "serving_default"}
    scores = model.score(images.numpy())
    np.testing.assert_allclose(scores["logit"], logits, atol=1e-4)
    card = (trained.saved_model / "README.md").read_text()
    assert card.startswith("# A generative adversarial network of 28 x 28 images")
    assert (
        "neither reconstruct" in card and "judges how real" in card and "Frechet distance" in card
    )


def test_samples_of_the_exported_model_are_as_far_as_in_training(trained, model, small_npz):
    dataset = workflows.load_dataset(data_path=str(small_npz))
    compared = comparison.TestImages(dataset)
    keyed = model.sample_latents(
        compared.num_drawn, comparison.derived_key(3, comparison.Purpose.DRAWN_IMAGES)
    )
    drawn = statistics(compared.features.of(model.decode(keyed.numpy())))
    found = frechet_distance(compared._statistics, drawn)
    assert found == pytest.approx(trained.history[-1]["test_frechet_distance"], rel=0.01, abs=0.01)


@pytest.mark.parametrize("from_run", [True, False])
def test_it_is_evaluated_by_distance(trained, tmp_path, from_run, capsys):
    place = trained.directory if from_run else trained.saved_model
    found = workflows.evaluate(place, tmp_path / "found.json")
    assert isinstance(found, distance.Distance) and found.images == 32
    assert found.frechet > found.floor > 0 and 0 <= found.share.precision <= 1
    assert "Frechet distance" in capsys.readouterr().out
    assert (tmp_path / "found.json").exists()
    with pytest.raises(
        UserError, match="has no likelihood to evaluate; it has --measures=distance"
    ):
        workflows.evaluate(place, measures="likelihood", verbose=0)


@pytest.mark.parametrize(
    ("mode", "settings"),
    [("samples", {}), ("plane", {}), ("nearest", {"num": 9}), ("interpolate", {}),
     ("interpolate", {"start": "0,0,0,0,0,0,0,0", "end": "7"})],
)  # fmt: skip
def test_modes(model, tmp_path, mode, settings):
    made = workflows.generate(model, mode, tmp_path, verbose=0, **settings)
    assert made.files[0].stat().st_size > 500
    assert made.arrays["images"].shape[1:] == (28, 28, 1)


def test_interpolation_begins_with_what_a_seed_draws(model, tmp_path):
    made = workflows.generate(model, "interpolate", tmp_path, start=5, end=6, verbose=0)
    for image, seed in ((made.arrays["images"][0], 5), (made.arrays["images"][-1], 6)):
        np.testing.assert_allclose(image, model.sample(64, seed=seed)[0], atol=1e-5)


@pytest.mark.parametrize(
    "mode", ["reconstruct", "neighbours", "class", "denoise", "latents", "anomalies"]
)
def test_what_needs_an_encoder_is_refused(model, tmp_path, mode):
    with pytest.raises(UserError, match=f"--mode={mode} needs a .*; this one can decode, sample"):
        workflows.generate(model, mode, tmp_path / "no", verbose=0)
    assert not (tmp_path / "no").exists()


def test_a_file_of_keras_is_loaded_elsewhere(trained, tmp_path):
    directory = workflows.export(trained.directory, tmp_path, "keras", verbose=0)
    code = (
        f"import sys; sys.path.insert(0, {str(PROJECT)!r}); import keras; from cvae_tf import GAN; "
        f"model = keras.saving.load_model({str(directory / 'cvae.keras')!r}); "
        "assert isinstance(model, GAN); print(model.image_shape)"
    )
    done = run_python("-c", code, cwd=tmp_path)
    assert "(28, 28, 1)" in done.stdout, done.stderr


@pytest.fixture(scope="module")
def conditional(tmp_path_factory, small_npz, quick_features):
    place = tmp_path_factory.mktemp("conditional") / "run"
    settings = {**TINY, "conditional": True, "epochs": 1, "jit": True}
    return workflows.train(run_dir=place, data_path=str(small_npz), verbose=0, **settings)


LATENTS, LABELS = (
    np.linspace(-1, 1, 24, dtype=np.float32).reshape(3, 8),
    np.arange(3, 6, dtype="i4"),
)


def _run_litert(directory, part, **inputs):
    runner = Interpreter(str(directory / f"{part}.tflite")).get_signature_runner()
    rows = [dict(zip(inputs, row, strict=True)) for row in zip(*inputs.values(), strict=True)]
    outputs = [runner(**{name: value[None] for name, value in row.items()}) for row in rows]
    return np.concatenate([value for output in outputs for value in output.values()])


def _run_onnx(directory, part, **inputs):
    return onnxruntime.InferenceSession(str(directory / f"{part}.onnx")).run(None, inputs)[0]


def _run_keras(directory, part, labels, **inputs):
    model = keras.saving.load_model(directory / "cvae.keras")
    run = {"generator": model.decode_mean, "discriminator": model.logits}[part]
    return run(*inputs.values(), labels)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format_name", "run"),
    [("litert", _run_litert), ("onnx", _run_onnx), ("keras", _run_keras)],
)
def test_a_conditional_one_draws_and_judges_the_same_in_other_formats(
    conditional, tmp_path, format_name, run
):
    directory = workflows.export(conditional.directory, tmp_path, format_name, verbose=0)
    saved = loading.load(conditional.saved_model)
    drawn = saved.decode(LATENTS, LABELS)
    found = run(directory, "generator", latents=LATENTS, labels=LABELS)
    np.testing.assert_allclose(found, drawn, atol=1e-4)
    logits = saved.score(drawn, labels=LABELS)["logit"]
    found = run(directory, "discriminator", images=drawn, labels=LABELS)
    np.testing.assert_allclose(found, logits, atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "gan", "beta": 2.0}, "--beta is a setting of --model=vae; this is --model=gan"),
        ({"r1": 1.0}, "--r1 is a setting of --model=gan; this is --model=vae"),
        ({"model": "gan", "network": "mlp"}, "--network=mlp is no generator and.*dcgan"),
        ({"network": "dcgan"}, "--network=dcgan is no encoder and decoder.*tutorial"),
        ({"model": "gan", "preset": "fast"}, "--preset=fast is one of --model=vae.*--preset=gan"),
        ({"model": "vae", "preset": "gan"}, "--preset=gan is one of --model=gan.*--preset=fast"),
        ({"model": "gan", "optimizer": "sgd"}, "--optimizer=sgd: a GAN needs --beta1.*adam"),
        ({"model": "gan", "optimizer": "lion"}, "--optimizer=lion: a GAN needs --beta1.*adam"),
        ({"model": "gan", "gan_loss": "wgan_gp"}, "--gan_loss=wgan_gp has a grad.*--r1=0.1"),
        ({"model": "gan", "spectral_norm": True, "precision": "mixed_bfloat16"},
         "--spectral_norm with --precision=mixed_bfloat16: norms are divided"),
        ({"model": "gan", "diff_augment": "blur"}, "--diff_augment=blur: 'blur' is.*mirror"),
        ({"model": "gan", "dropout": 0.1}, "--dropout does nothing with --model=gan"),
        ({"model": "gan", "sampler": "mixture"}, "--sampler is a setting of --model=vae"),
        ({"model": "gna"}, "--model=gna: unknown; choose from vae, gan"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(settings, message, tmp_path):
    with pytest.raises(UserError, match=message):
        workflows.train(run_dir=tmp_path / "run", dataset="digits", verbose=0, **settings)
    assert not (tmp_path / "run").exists()


def test_grey_images_have_no_colours_to_change(tmp_path, small_npz):
    with pytest.raises(UserError, match="--diff_augment=colour: the images have no colours"):
        workflows.train(
            run_dir=tmp_path / "run", data_path=str(small_npz), diff_augment="colour", verbose=0,
            model="gan",
        )  # fmt: skip


@pytest.mark.slow
def test_it_stops_early_by_the_distance(tmp_path, small_npz, monkeypatch):
    distances = iter([9.0, 3.0, 4.0, 5.0, 6.0, 7.0])  # the first before training
    monkeypatch.setattr(
        comparison.TestImages,
        "compare",
        lambda *_: {"frechet_distance": next(distances), "spread": 0.5},
    )
    settings = {**TINY, "epochs": 5, "early_stop": 2, "data_path": str(small_npz)}
    run = workflows.train(run_dir=tmp_path / "run", verbose=0, **settings)
    assert [row["test_frechet_distance"] for row in run.history] == [3, 4, 5]
    assert loading.load(run.saved_model).metadata["metrics"]["epoch"] == 1


@pytest.mark.slow
def test_more_epochs_go_on_from_the_last(tmp_path, small_npz):
    settings = {**TINY, "gan_loss": "wgan_gp", "r1": 0.0, "data_path": str(small_npz)}
    run = workflows.train(run_dir=tmp_path / "run", verbose=0, **settings)
    longer = workflows.resume(run.directory, epochs=3, verbose=0)
    assert longer.history[:2] == run.history and longer.history[2]["epoch"] == 3
    assert np.isfinite(longer.history[2]["test_frechet_distance"])


@pytest.mark.slow
def test_a_folder_streams_and_gives_the_same_weights(tmp_path, small_npz):
    folder = tmp_path / "pictures"
    with np.load(small_npz) as arrays:
        for split, num in (("train", 64), ("test", 2)):
            for number, image in enumerate(arrays[f"x_{split}"][:num]):
                place = folder / split / f"class {number % 2}"
                place.mkdir(parents=True, exist_ok=True)
                imageio.imwrite(place / f"{number:03}.png", image)
    settings = {**TINY, "epochs": 1, "data_path": str(folder), "verbose": 0}
    arrays = []
    for name, more in (("memory", {}), ("streamed", {"cache_mb": 0})):
        run = workflows.train(run_dir=tmp_path / name, **settings, **more)
        arrays.append(dict(np.load(next(run.directory.glob("checkpoints/*/state.npz")))))
    for name in set(arrays[0]) - {"state"}:
        np.testing.assert_array_equal(arrays[0][name], arrays[1][name])


def test_a_run_of_a_vae_is_not_resumed_as_a_gan(tmp_path, small_npz):
    small = {"network": "mlp", "hidden": "8", "epochs": 1, "verbose": 0}
    run = workflows.train(run_dir=tmp_path / "run", data_path=str(small_npz), **small)
    with pytest.raises(UserError, match="--model=gan contradicts --model=vae of the run"):
        workflows.resume(run.directory, model="gan")


def test_the_classic_preset_is_that_of_the_write_ups():
    config = Config.create("dcgan")
    assert dataclasses.asdict(config) | {
        "model": "gan", "network": "dcgan", "learning_rate": 2e-4, "beta1": 0.5, "r1": 0.0,
        "diff_augment": "none", "ema": 0.0,
    } == dataclasses.asdict(config)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"latent_dim": 1},
        {"batch_size": 1},
        {"preset": "dcgan"},
        {"precision": "mixed_bfloat16", "optimizer": "adamax"},
    ],
)
def test_extremes_train(tmp_path, settings):
    images = np.random.default_rng(0).integers(0, 256, (5, 9, 11, 3)).astype(np.uint8)
    np.savez(tmp_path / "own.npz", x_train=images, x_test=images[:2])
    run = workflows.train(
        run_dir=tmp_path / "run", data_path=str(tmp_path / "own.npz"), verbose=0,
        **{"model": "gan", "epochs": 1, **settings},
    )  # fmt: skip
    assert np.isfinite(run.history[0]["test_frechet_distance"])
    assert loading.load(run.saved_model).sample(2).shape == (2, 9, 11, 3)
