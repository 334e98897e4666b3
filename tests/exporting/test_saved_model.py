import json

import numpy as np
import pytest
import tensorflow as tf
from conftest import METADATA, run_python, tiny_cvae

from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.exporting import writing
from cvae_tf.models.networks.building import build_networks
from cvae_tf.models.signature_parts import LARGEST_SAMPLE
from cvae_tf.models.vae.inferring import inference
from cvae_tf.models.vae.model import CVAE

TRIED = [  # patches_large differs in its widths only
    "patches",
    *(pytest.param(each, marks=pytest.mark.slow) for each in ("tutorial", "patches_smooth")),
]
SIGNATURES = {
    "sample": ({"num": "int32 []", "seed": "int32 [2]"}, ["images"]),
    "decode": ({"latents": "float32 [None, 2]"}, ["images"]),
    "parameters": ({"latents": "float32 [None, 2]"}, ["parameters"]),
    "encode": ({"images": "float32 [None, 28, 28, 1]"}, ["logvar", "mean"]),
    "reconstruct": ({"images": "float32 [None, 28, 28, 1]"}, ["images"]),
    "score": (
        {"images": "float32 [None, 28, 28, 1]", "seed": "int32 [2]"},
        ["elbo", "kl", "log_likelihood"],
    ),
    "infer": ({"images": "float32 [None, 28, 28, 1]"}, ["covariance", "mean"]),
    "refine": (
        {"images": "float32 [None, 28, 28, 1]", "steps": "int32 []"},
        ["covariance", "factor", "mean"],
    ),
    "reconstruct_refined": (
        {"images": "float32 [None, 28, 28, 1]", "steps": "int32 []"},
        ["images"],
    ),
    "score_refined": (
        {
            "images": "float32 [None, 28, 28, 1]",
            "seed": "int32 [2]",
            "steps": "int32 []",
            "samples": "int32 []",
        },
        ["elbo", "kl", "log_likelihood"],
    ),
}

# What a user does who has TensorFlow and the SavedModel, but not this project.
_USE = """
import importlib.util, json, sys
import numpy as np
import tensorflow as tf

assert importlib.util.find_spec("cvae_tf") is None
inputs, output, directory = sys.argv[1:]
images, latents = (np.load(inputs)[name] for name in ("images", "latents"))
calls = {
    "sample": lambda use: use(num=tf.constant(5), seed=tf.constant([1, 2])),
    "again": lambda use: use(num=tf.constant(5), seed=tf.constant([1, 2])),
    "other": lambda use: use(num=tf.constant(5), seed=tf.constant([1, 3])),
    "serving_default": lambda use: use(num=tf.constant(5), seed=tf.constant([1, 2])),
    "decode": lambda use: use(latents=tf.constant(latents)),
    "encode": lambda use: use(images=tf.constant(images)),
    "reconstruct": lambda use: use(images=tf.constant(images)),
    "score": lambda use: use(images=tf.constant(images), seed=tf.constant([7, 8])),
    "infer": lambda use: use(images=tf.constant(images)),
    "refine": lambda use: use(images=tf.constant(images), steps=tf.constant(5)),
}
signature_of = {"again": "sample", "other": "sample"}
model = tf.saved_model.load(directory)
results = {}
for name, call in calls.items():
    for key, value in call(model.signatures[signature_of.get(name, name)]).items():
        results[name + "." + key] = value.numpy()
np.savez(output, **results)
assert "cvae_tf" not in sys.modules
"""


def _random_model(network):
    """Random weights, but such that images differ by their scores."""
    model = CVAE(build_networks(network, (28, 28, 1), latent_dim=2, seed=3), seed=3)
    kernel = model.decoder.get_layer("logits").kernel
    logits = model.decode(tf.random.stateless_normal([8, 2], [0, 0]))
    kernel.assign(kernel * 5 / tf.reduce_max(tf.abs(logits)))
    return model


def _export(model, directory, metadata=METADATA):
    writing.write_model(model, "saved_model", directory, metadata)


@pytest.fixture(scope="module", params=TRIED)
def network(request):
    return request.param


@pytest.fixture(scope="module")
def model(network):
    return _random_model(network)


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """The directory of its SavedModel."""
    directory = tmp_path_factory.mktemp("models") / "export" / "1"
    _export(model, directory)
    return directory


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(str(exported))


@pytest.fixture(scope="module")
def grey_images(tiny_dataset):
    return (tiny_dataset.test.images[:6] / 255).astype(np.float32)


@pytest.fixture(scope="module")
def results(exported, grey_images, tmp_path_factory):
    """What a process that knows TensorFlow alone gets from the SavedModel."""
    place = tmp_path_factory.mktemp("elsewhere")
    latents = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    np.savez(place / "in.npz", images=grey_images, latents=latents)
    done = run_python("-c", _USE, place / "in.npz", place / "out.npz", exported, cwd=place)
    assert done.returncode == 0, done.stderr
    return {"latents": latents, **np.load(place / "out.npz")}


def _assert_close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_the_same_seed_gives_the_same_images_and_another_seed_others(results):
    assert results["sample.images"].shape == (5, 28, 28, 1)
    np.testing.assert_array_equal(results["sample.images"], results["again.images"])
    assert np.all(np.any(results["sample.images"] != results["other.images"], axis=(1, 2, 3)))
    assert results["sample.images"].min() >= 0 and results["sample.images"].max() <= 1


def test_serving_default_is_sample(results):
    np.testing.assert_array_equal(results["sample.images"], results["serving_default.images"])


def test_samples_are_those_of_the_model(results, model):
    key = derived_key(tf.constant([1, 2]), Purpose.SAMPLES)
    _assert_close(results["sample.images"], model.sample(5, key))


def test_decoded_latents_are_probabilities_of_the_model(results, model):
    logits = model.decoder(results["latents"]).numpy().astype(float)
    assert np.abs(logits).max() > 1
    _assert_close(results["decode.images"], 1 / (1 + np.exp(-logits)))


def test_codes_and_reconstructions_are_those_of_the_model(results, model, grey_images):
    binary = (grey_images > 0.5).astype(np.float32)
    mean, logvar = np.hsplit(model.encoder(binary).numpy(), 2)
    _assert_close(results["encode.mean"], mean)
    _assert_close(results["encode.logvar"], logvar)
    logits = model.decoder(mean).numpy().astype(float)
    _assert_close(results["reconstruct.images"], 1 / (1 + np.exp(-logits)))


def test_scores_are_those_of_the_model(results, model, grey_images):
    key = derived_key(tf.constant([7, 8]), Purpose.SCORE_NOISE)
    terms = model.elbo_terms((grey_images > 0.5).astype(np.float32), key)
    for name in ("elbo", "log_likelihood", "kl"):
        expected = getattr(terms, name)
        assert results[f"score.{name}"].shape == (6,)
        np.testing.assert_allclose(results[f"score.{name}"], expected, rtol=1e-5, atol=1e-3)
    assert np.std(results["score.elbo"]) > 1


def test_inferred_posteriors_are_those_of_the_model(results, model, grey_images):
    pixels = tf.constant((grey_images > 0.5).astype(np.float32))
    expected = inference(model)(pixels, None, 5)
    for name in ("infer", "refine"):
        np.testing.assert_allclose(results[f"{name}.mean"], expected.mean, rtol=1e-2, atol=2e-3)
        covariance = results[f"{name}.covariance"]
        np.testing.assert_allclose(covariance, expected.covariance, rtol=0.05, atol=1e-4)


def _arguments(signature):
    specs = signature.structured_input_signature[1]
    return {name: f"{spec.dtype.name} {spec.shape.as_list()}" for name, spec in specs.items()}


def test_signatures_and_their_arguments_are_those_promised(loaded):
    assert set(loaded.signatures) == {*SIGNATURES, "serving_default"}
    for name, (arguments, outputs) in SIGNATURES.items():
        signature = loaded.signatures[name]
        assert _arguments(signature) == arguments
        assert sorted(signature.structured_outputs) == outputs
    assert _arguments(loaded.signatures["serving_default"]) == SIGNATURES["sample"][0]


def test_functions_can_be_called_as_the_readme_does(loaded):
    images = loaded.sample(num=3, seed=[1, 2])["images"]
    assert images.shape == (3, 28, 28, 1)
    np.testing.assert_array_equal(images, loaded.sample(num=3, seed=[1, 2])["images"])


def test_pixels_are_made_black_and_white_inside(loaded, grey_images):
    light = np.where(grey_images > 0.5, 0.6, 0.4).astype(np.float32)
    crisp = np.where(grey_images > 0.5, 1.0, 0.0).astype(np.float32)
    seed = tf.constant([1, 2])
    for use in (loaded.encode, loaded.reconstruct, lambda images: loaded.score(images, seed)):
        for name, value in use(tf.constant(light)).items():
            np.testing.assert_array_equal(value, use(tf.constant(crisp))[name])


def test_empty_batches_give_empty_answers(loaded):
    nothing = tf.zeros([0, 28, 28, 1])
    assert loaded.sample(num=0, seed=[1, 2])["images"].shape == (0, 28, 28, 1)
    assert loaded.decode(tf.zeros([0, 2]))["images"].shape == (0, 28, 28, 1)
    assert loaded.encode(nothing)["mean"].shape == (0, 2)
    assert loaded.reconstruct(nothing)["images"].shape == (0, 28, 28, 1)
    assert loaded.score(nothing, [1, 2])["elbo"].shape == (0,)


@pytest.mark.parametrize("num", [-1, 10**9, LARGEST_SAMPLE + 1])
def test_absurd_numbers_of_samples_are_refused(loaded, num):
    with pytest.raises(tf.errors.InvalidArgumentError, match="num must be from 0 to 10000"):
        loaded.sample(num=num, seed=[1, 2])


@pytest.mark.parametrize("pixel", [np.nan, 2.0, -0.1, 255.0, np.inf])
@pytest.mark.parametrize("name", ["encode", "reconstruct", "score"])
def test_images_that_are_no_grey_levels_are_refused(loaded, grey_images, pixel, name):
    images = grey_images.copy()
    images[3, 14, 14, 0] = pixel
    arguments = {"images": tf.constant(images)} | ({"seed": [1, 2]} if name == "score" else {})
    with pytest.raises(tf.errors.InvalidArgumentError, match="grey levels in"):
        getattr(loaded, name)(**arguments)


@pytest.mark.parametrize("latent", [np.nan, np.inf])
def test_latents_that_are_not_finite_are_refused(loaded, latent):
    with pytest.raises(tf.errors.InvalidArgumentError, match="latents must be finite"):
        loaded.decode(tf.constant([[0.0, latent]]))


def test_other_batch_sizes_need_no_new_graph(loaded):
    for num in (1, 2, 64):
        loaded.sample(num=num, seed=[1, 2])
        loaded.encode(tf.zeros([num, 28, 28, 1]))
    for function in (loaded.sample, loaded.encode, loaded.decode, loaded.score):
        assert len(function.concrete_functions) == 1


def test_metadata_lie_beside_the_model(exported):
    assert json.loads((exported / "model.json").read_text(encoding="utf-8")) == METADATA
    assert (exported / "saved_model.pb").stat().st_size > 1000


def test_exporting_again_replaces_the_model(tmp_path):
    directory = tmp_path / "1"
    answers = []
    for seed in (0, 1):
        model = tiny_cvae(seed=seed)
        _export(model, directory, {**METADATA, "git_commit": str(seed)})
        loaded = tf.saved_model.load(str(directory))
        answers.append(loaded.decode(tf.ones([1, 2]))["images"])
        _assert_close(answers[-1], tf.sigmoid(model.decode(tf.ones([1, 2]))))
    assert np.any(answers[0] != answers[1])
    assert json.loads((directory / "model.json").read_text())["git_commit"] == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_failed_export_leaves_the_old_model(tmp_path):
    directory, model = tmp_path / "1", tiny_cvae()
    _export(model, directory)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(TypeError):
        _export(model, directory, {**METADATA, "not json": object()})
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
