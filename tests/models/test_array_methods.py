"""Models and arrays of any length: parts, labels, seeds, and requests that do not fit."""

import threading

import numpy as np
import pytest
import tensorflow as tf
from helpers import tiny_cvae

from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.models.families import family_of


@pytest.fixture(scope="module")
def many(digits):
    return (digits.train.images[:300] / 255).astype(np.float32)


def _assert_near(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_samples_are_decoded_latents_of_the_prior_however_many_are_asked_for(vae):
    latents = tf.random.stateless_normal([300, 2], derived_key(7, Purpose.SAMPLES))
    parts = list(vae.sample_in_parts(300, seed=7))
    assert [len(part) for part in parts] == [256, 44]
    _assert_near(np.concatenate(parts), vae.decode(latents))
    np.testing.assert_array_equal(vae.sample(300, seed=7), np.concatenate(parts))
    assert vae.sample(0).shape == (0, 28, 28, 1)


def test_parts_are_joined_in_order_with_their_labels(conditional, many):
    labels = np.random.default_rng(0).integers(0, 10, len(many)).astype(np.int32)
    pixels = conditional.pixels.binarize_mode(tf.constant(many))
    expected = conditional.encode(pixels, tf.constant(labels))
    found = conditional.encode(many, labels)
    _assert_near(found.mean, expected.mean)
    _assert_near(found.logvar, expected.logvar)
    drawn = conditional.decode(expected.mean, tf.constant(labels))
    assert tf.is_tensor(drawn)
    _assert_near(conditional.decode(found.mean, labels), drawn)
    _assert_near(conditional.reconstruct(many, labels), drawn)


def test_labels_are_in_turn_or_as_asked_for(conditional, many):
    in_turn = conditional.sample(12, seed=3)
    _assert_near(in_turn, conditional.sample(12, seed=3, labels=np.arange(12) % 10))
    assert np.any(in_turn != conditional.sample(12, seed=3, labels=4))
    with pytest.raises(UserError, match="conditional one: give labels"):
        conditional.encode(many[:2])


def _goes_on(function):
    """Whether a function comes to its end in another thread."""
    done = threading.Event()
    threading.Thread(target=lambda: (function(), done.set()), daemon=True).start()
    return done.wait(30)


_FRAMES = np.zeros((2, 28, 28, 1))
_MALFORMED = [  # a request that does not fit, and what is said of it
    ("decode", (np.zeros((2, 3)),), "do not fit"),
    ("encode", (_FRAMES[:, 1:],), "do not fit"),
    ("reconstruct", (_FRAMES + 255,), "to 255; give"),
    ("sample", (-1,), "num=-1; must be"),
    ("sample", (2, 0, [1, 1]), "knows no labels"),
    ("score", (_FRAMES, 1.5), "seed=1.5"),
    ("mean_scores", (_FRAMES, 0, 0), "num_samples=0"),
    ("anomaly", (_FRAMES - 1,), "from -1 to"),
]


def test_malformed_requests_are_refused_and_other_threads_go_on(vae, gan_run):
    for method, arguments, message in _MALFORMED:
        with pytest.raises(UserError, match=message):
            getattr(vae, method)(*arguments)
    assert _goes_on(lambda: vae.decode(np.zeros((1, 2))))
    assert _goes_on(lambda: vae.anomaly(_FRAMES))
    assert _goes_on(lambda: vae.sample(1))
    # As docs/serving.md says of the signatures of the SavedModel itself.
    sample = tf.saved_model.load(str(gan_run.saved_model)).signatures["sample"]
    with pytest.raises(tf.errors.InvalidArgumentError):
        sample(num=tf.constant(2), seed=tf.constant(1))
    assert _goes_on(lambda: sample(num=tf.constant(1), seed=tf.constant([1, 2])))


def test_what_a_model_cannot_do_is_refused_in_a_line(gan, vae):
    for method in (gan.encode, gan.reconstruct, gan.refine, gan.anomaly):
        with pytest.raises(UserError, match=f"This model cannot {method.__name__}; it has sample"):
            method(_FRAMES)
    with pytest.raises(UserError, match="knows no scores of usual images"):
        tiny_cvae().anomaly(tf.zeros([1, 6, 6, 1]))
    with pytest.raises(UserError, match="training=True is for tensors"):
        vae.encode(_FRAMES, training=True)


def test_scores_add_up_follow_from_the_seed_and_are_averaged(vae, many):
    images = np.concatenate([many[:256], many[:4]])
    scores = vae.score(images, seed=5)
    elbo, kl = scores["elbo"], scores["kl"]
    np.testing.assert_allclose(elbo, scores["log_likelihood"] - kl, atol=1e-3)
    np.testing.assert_array_equal(elbo, vae.score(images, seed=5)["elbo"])
    assert np.abs(kl[:4] - kl[256:]).min() > 1e-3, "each part needs noise of its own"
    keys = (tf.random.fold_in(derived_key(5, Purpose.SCORES, i), 0) for i in range(3))
    score, _ = family_of(vae).signatures(vae)["score"]
    draws = [score(tf.constant(many[:4]), key)["elbo"] for key in keys]
    _assert_near(vae.mean_scores(many[:4], 5, 3)["elbo"], np.mean(draws, axis=0))


def test_images_are_seen_alike_as_arrays_and_as_tensors_by_place_or_by_name(vae, conditional):
    grey = np.random.default_rng(0).uniform(size=(3, 28, 28, 1)).astype(np.float32)
    _assert_near(vae.encode(images=grey).mean, vae.encode(tf.constant(grey), None).mean)
    _assert_near(vae(grey), vae.reconstruct(images=grey))
    labels = [0, 1, 2]
    found = conditional.encode(tf.constant(grey), labels)
    _assert_near(found.mean, conditional.encode(grey, labels).mean)
