"""SavedModels: every signature does what the model does, with TensorFlow alone, or refuses."""

import inspect
import pickle

import numpy as np
import pytest
import tensorflow as tf
from conftest import run_python

from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.models.signature_parts import LARGEST_SAMPLE
from cvae_tf.models.vae.complexity import complexities
from cvae_tf.models.vae.inferring import inference
from cvae_tf.models.vae.model import CVAE
from cvae_tf.models.vae.posterior import FullPosterior
from cvae_tf.training import building

KINDS = ("vae", "conditional", "gan")

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
        for num in (0, 1, 3):
            arguments = {each: fit(spec, num) for each, spec in specs.items()}
            for result, value in signature(**arguments).items():
                answers[directory, name, num, result] = value.numpy()
with open(output, "wb") as file:
    pickle.dump(answers, file)
assert "cvae_tf" not in sys.modules
"""


@pytest.fixture(scope="module")
def given(digits):
    """Arguments of signatures by their names, for the largest batch."""
    random = np.random.default_rng(0)
    return {
        "seed": [7, 8], "steps": 3, "samples": 2, "labels": [3, 0, 9],
        "images": (digits.test.images[:3] / 255).astype(np.float32),
        "latents": random.normal(size=(3, 8)).astype(np.float32),
        "scores": np.array([-539.3, -449.2, -0.1], np.float32),
    }  # fmt: skip


@pytest.fixture(scope="module")
def runs(vae_run, conditional_run, gan_run):
    return dict(zip(KINDS, (vae_run, conditional_run, gan_run), strict=True))


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

    own = {
        "sample": sample,
        "serving_default": sample,
        "decode": lambda latents: {"images": model.decode_mean(latents, labels)},
    }
    if isinstance(model, CVAE):
        return (
            own | _of_vae(model, labels) | _of_refined(model, labels) | _of_held_out(model, labels)
        )
    return own | {"score": lambda images: {"logit": model.discriminator(images)}}


def _reconstruct(model, images, labels):
    return model.decode_mean(model.encode(model.pixels.likeliest(images), labels).mean, labels)


def _drawn(model, images, seed):
    return model.pixels.drawn(images, derived_key(seed, Purpose.SCORE_BINARIZATION))


def _of_vae(model, labels):
    def score(images, seed):
        key = derived_key(seed, Purpose.SCORE_NOISE)
        return model.pixels.named(model.elbo_terms(_drawn(model, images, seed), key, labels))

    return {
        "parameters": lambda latents: {"parameters": model.decode(latents, labels)},
        "encode": lambda images: model.encode(model.pixels.likeliest(images), labels)._asdict(),
        "reconstruct": lambda images: {"images": _reconstruct(model, images, labels)},
        "score": score,
    }


def _of_refined(model, labels):
    find, known = inference(model), {}

    def refine(images, steps):
        if steps not in known:  # for all that begins with it
            known[steps] = find(model.pixels.likeliest(images), labels, tf.constant(steps))
        found = known[steps]
        covariance = found.factor @ tf.transpose(found.factor, [0, 2, 1])
        return {**found._asdict(), "covariance": covariance}

    def infer(images):
        found = refine(images, 5)
        return {name: found[name] for name in ("mean", "covariance")}

    def reconstruct_refined(images, steps):
        return {"images": model.decode_mean(refine(images, steps)["mean"], labels)}

    def score_refined(images, seed, steps, samples):
        pixels, key = _drawn(model, images, seed), derived_key(seed, Purpose.SCORE_NOISE)
        refined = refine(images, steps)
        found, draws = FullPosterior(refined["mean"], refined["factor"]), []
        for number in range(samples):
            noise = tf.random.stateless_normal(found.mean.shape, tf.random.fold_in(key, number))
            terms, _ = model.terms_with_noise(pixels, found, noise, labels=labels)
            draws.append(model.pixels.named(terms))
        return {name: np.mean([draw[name] for draw in draws], axis=0) for name in draws[0]}

    return {each.__name__: each for each in (infer, refine, reconstruct_refined, score_refined)}


def _of_held_out(model, labels):
    if not model.held_out_scores.known:
        return {}

    def p_values(kind):
        (own,) = (each for each in model.held_out_scores.variables if each.name == kind)
        known = own.numpy()[own.numpy() < np.inf]
        return lambda scores: {
            "p_values": [(1 + np.sum(known <= each)) / (1 + len(known)) for each in scores]
        }

    def score_relative(images, scores):
        known = complexities(model.pixels.likeliest(images), _reconstruct(model, images, labels))
        return {"scores": model.held_out_scores.relative(known, scores)}

    better = {f"p_values_{kind}": p_values(kind) for kind in ("refined", "regret", "relative")}
    return {"p_values": p_values("encoders"), **better, "score_relative": score_relative}


@pytest.mark.parametrize("kind", KINDS)
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
        is_refined = name in ("infer", "refine") or name.endswith("_refined")
        near = {"rtol": 1e-2, "atol": 5e-3} if is_refined else {"rtol": 1e-4, "atol": 1e-5}
        for result, values in wanted.items():
            three, one, none = (found[name, num, result] for num in (3, 1, 0))
            np.testing.assert_allclose(three, values, **near, err_msg=f"{name}: {result}")
            np.testing.assert_allclose(one, three[:1], **near, err_msg=f"{name}: {result}")
            assert three.dtype == np.float32 and none.shape == (0, *three.shape[1:])
    assert np.ptp(found["decode", 3, "images"], axis=0).max() > 1e-3
    if kind == "vae":  # by NumPy: what is black and white, and with which probability
        mean, logvar = np.hsplit(model.encoder((given["images"] > 0.5).astype(np.float32)), 2)
        np.testing.assert_allclose(found["encode", 3, "mean"], mean, atol=1e-5)
        np.testing.assert_allclose(found["encode", 3, "logvar"], logvar, atol=1e-5)
        white = 1 / (1 + np.exp(-model.decoder(own["latents"]).numpy().astype(float)))
        np.testing.assert_allclose(found["decode", 3, "images"], white, atol=1e-5)


def test_what_is_out_of_range_is_refused_by_the_graph(conditional_run, given):
    functions = tf.saved_model.load(str(conditional_run.saved_model))
    labels, images, seed = [3, 0, 9], given["images"], [1, 2]

    def refused(message, function, *arguments):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            function(*arguments)

    for num in (-1, 10**9, LARGEST_SAMPLE + 1):
        refused("num must be from 0 to 10000", functions.sample, num, seed, labels)
    for pixel in (np.nan, 2.0, -0.1, 255.0, np.inf):
        wrong = images.copy()
        wrong[2, 14, 14, 0] = pixel
        refused("grey levels in", functions.encode, wrong, labels)
    refused("grey levels in", functions.reconstruct, images + 0.1, labels)
    refused("grey levels in", functions.score, images + 0.1, seed, labels)
    refused("grey levels in", functions.infer, images + 0.1, labels)
    for latent in (np.nan, np.inf):
        refused("latents must be finite", functions.decode, [[0.0, 0.0, latent]], [1])
    refused("steps must be", functions.refine, images, -1, labels)
    for wrong, message in (([3, 0, 10], "from 0 to 9"), ([-1, 0, 1], "from 0 to 9"),
                           ([1, 2], "as many as there are images")):  # fmt: skip
        refused(message, functions.encode, images, wrong)
        refused(message, functions.sample, 3, seed, wrong)
