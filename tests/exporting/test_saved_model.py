"""SavedModels: every signature does what the model does, with TensorFlow alone, or refuses."""

import inspect
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import run_python

from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.models.saved_model import LARGEST_SAMPLE
from cvae_tf.models.vae.likelihoods import Pixels
from cvae_tf.models.vae.model import CVAE, Networks
from cvae_tf.training import building

# What a user does who has TensorFlow and SavedModels, but not this project: first as the card
# beside each says, then every signature for some sizes of batches.
_USE = """
import importlib.util, os, pickle, re, sys
import tensorflow as tf

assert importlib.util.find_spec("cvae_tf") is None
inputs, output, *directories = sys.argv[1:]
with open(inputs, "rb") as file:
    given = pickle.load(file)

def fit(spec, num):
    value = num if spec.name == "num" else given[spec.name]
    if spec.shape.rank and spec.shape[0] is None:
        value = value[:num]
    if spec.name == "latents":
        value = value[:, :spec.shape[1]]
    return tf.constant(value, spec.dtype)

answers = {}
for directory in directories:
    os.chdir(directory)
    with open("README.md", encoding="utf-8") as file:
        snippet, = re.findall("```python\\n(.*?)```", file.read(), re.DOTALL)
    names = {}
    exec(snippet, names)
    for name, signature in names["model"].signatures.items():
        specs = signature.structured_input_signature[1]
        for num in (0, 3):
            arguments = {each: fit(spec, num) for each, spec in specs.items()}
            for result, value in signature(**arguments).items():
                answers[directory, name, num, result] = value.numpy()
with open(output, "wb") as file:
    pickle.dump(answers, file)
"""


@pytest.fixture(scope="module")
def given(digits):
    """Arguments of signatures by their names, for the largest batch."""
    random = np.random.default_rng(0)
    return {
        "seed": [7, 8], "steps": 3, "labels": [3, 0, 9],
        "images": (digits.test.images[:3] / 255).astype(np.float32),
        "latents": random.normal(size=(3, 8)).astype(np.float32),
    }  # fmt: skip


@pytest.fixture(scope="module")
def runs(vae_run, conditional_run, gan_run):
    return {"vae": vae_run, "conditional": conditional_run, "gan": gan_run}


@pytest.fixture(scope="module")
def answers(runs, given, tmp_path_factory):
    """By directory, name of the signature, size of the batch and name of the result."""
    place = tmp_path_factory.mktemp("elsewhere")
    directories = [run.saved_model for run in runs.values()]
    (place / "in").write_bytes(pickle.dumps(given))
    done = run_python("-c", _USE, place / "in", place / "out", *directories, cwd=place)
    assert done.returncode == 0, done.stderr
    assert done.stdout == 3 * "(16, 28, 28, 1)\n"  # by the snippets of the cards
    return pickle.loads((place / "out").read_bytes())


def _expected(model, labels):
    """By signature: what the model itself makes of the arguments, which have these names."""

    def sample(num, seed):
        return {"images": model.sample(num, derived_key(seed, Purpose.SAMPLES), labels)}

    def decode(latents):
        return {"images": model.decode(tf.constant(latents), labels)}

    own = {"sample": sample, "serving_default": sample, "decode": decode}
    if isinstance(model, CVAE):
        return own | _of_vae(model, labels)
    return own | {"score": lambda images: {"logit": model.discriminator(images)}}


def _of_vae(model, labels):
    def encode(images):
        return model.encode(model.pixels.binarize_mode(images), labels)._asdict()

    def reconstruct(images):
        return {"images": model.decode(encode(images)["mean"], labels)}

    def score(images, seed):
        pixels = model.pixels.binarize(images, derived_key(seed, Purpose.SCORE_BINARIZATION))
        key = derived_key(seed, Purpose.SCORE_NOISE)
        return model.pixels.named(model.elbo(pixels, key, labels))

    def parameters(latents):
        return {"parameters": model.parameters(tf.constant(latents), labels)}

    def refine(images, steps):
        found = model.refine(tf.constant(images), labels, steps=steps)
        covariance = found.factor @ tf.transpose(found.factor, [0, 2, 1])
        return {**found._asdict(), "covariance": covariance}

    def anomaly(images):
        found = model.anomaly(tf.constant(images), labels)._asdict()
        return {name: found[name] for name in ("score", "p_value", "heat_map")}

    own = (encode, reconstruct, score, parameters, refine, anomaly)
    return {each.__name__: each for each in own}


@pytest.mark.parametrize("kind", ["vae", "conditional", "gan"])
def test_every_signature_does_what_the_model_does(runs, answers, given, kind):
    run = runs[kind]
    model = building.load_trained(run.directory).model.for_inference()
    found = {key[1:]: value for key, value in answers.items() if key[0] == str(run.saved_model)}
    own = {**given, "num": 3, "latents": given["latents"][:, : model.latent_dim]}
    expected = _expected(model, tf.constant(given["labels"]) if model.num_classes else None)
    assert {name for name, *_ in found} == set(expected)
    for name, function in expected.items():
        wanted = function(*(own[each] for each in inspect.signature(function).parameters))
        assert {result for each, _, result in found if each == name} == set(wanted), name
        near = {"rtol": 1e-2, "atol": 5e-3} if name == "refine" else {"rtol": 1e-4, "atol": 1e-5}
        for result, values in wanted.items():
            three, none = found[name, 3, result], found[name, 0, result]
            np.testing.assert_allclose(three, values, **near, err_msg=f"{name}: {result}")
            assert three.dtype == np.float32 and none.shape == (0, *three.shape[1:])
    assert np.ptp(found["decode", 3, "images"], axis=0).max() > 1e-3


def test_what_is_out_of_range_is_refused_by_the_graph(conditional_run, given):
    functions = tf.saved_model.load(str(conditional_run.saved_model))
    labels, images, seed = [3, 0, 9], given["images"], [1, 2]

    def refused(message, function, *arguments):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            function(*arguments)

    for num in (-1, LARGEST_SAMPLE + 1):
        refused("num must be from 0 to 10000", functions.sample, num, seed, labels)
    for pixel in (np.nan, 1.01, -0.01):
        wrong = images.copy()
        wrong[2, 14, 14, 0] = pixel
        refused("images must lie in", functions.encode, wrong, labels)
    refused("images must lie in", functions.score, images + 0.1, seed, labels)
    refused("latents must be finite", functions.decode, [[0.0, 0.0, np.nan]], [1])
    refused("steps must be", functions.refine, images, -1, labels)
    refused("from 0 to 9", functions.encode, images, [3, 0, 10])
    refused("as many as there are images", functions.sample, 3, seed, [1, 2])
    with pytest.raises(TypeError, match="Can not cast"):  # as many values, in another shape
        functions.encode(tf.zeros([3, 14, 56, 1]), tf.constant(labels))


def test_networks_of_ones_own_may_look_labels_up_and_take_them_as_columns(tmp_path):
    def with_labels(batch, units):
        labels = keras.Input((1,), dtype="int32")
        lookup = keras.layers.IntegerLookup(vocabulary=[0, 1, 2], output_mode="one_hot")
        both = keras.layers.Concatenate()([keras.layers.Flatten()(batch), lookup(labels)])
        return [batch, labels], keras.layers.Dense(units)(both)

    encoder = keras.Model(*with_labels(keras.Input((6, 6, 1)), 4))
    inputs, drawn = with_labels(keras.Input((2,)), 36)
    decoder = keras.Model(inputs, keras.layers.Reshape((6, 6, 1))(drawn))
    model = CVAE(Networks(encoder, decoder), 0, Pixels("threshold"), num_classes=3)
    model.export(tmp_path / "model")
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    found = loaded.decode(np.ones((2, 2), "f4"), [0, 2])
    expected = model.decode(tf.ones([2, 2]), tf.constant([0, 2], tf.int64))
    np.testing.assert_allclose(found["images"], expected, rtol=1e-5)
    assert np.ptp(expected, axis=0).max() > 1e-3
