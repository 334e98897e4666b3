"""Models and arrays: what is taken, in parts, with labels and seeds; what is refused in a line."""

import random
import re
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from helpers import tiny_cvae
from matplotlib import pyplot

from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.drawing import mosaics
from cvae_tf.models import family_of
from cvae_tf.models.arrays import to_images, to_labels, to_latents, to_whole

GREY = 4, 5, 1
_LEVELS = np.arange(40).reshape(2, 4, 5, 1) * 6
_FLOATS = _LEVELS / 255
ABC = "ant", "bee", "cat"


def _refuses(message, function, *arguments):
    """Whether it says so in one line of a bearable length, without the values."""
    with pytest.raises(UserError) as refused:
        function(*arguments)
    text = str(refused.value)
    assert "\n" not in text and len(text) < 250 and "[[" not in text
    return re.search(message, text)


def test_images_of_every_sensible_form_are_taken():
    for given in (
        _FLOATS, _FLOATS[..., 0].tolist(), tf.constant(_FLOATS, tf.float32),
        _LEVELS.astype(np.uint8), _LEVELS.astype(np.int64), _LEVELS.astype(np.uint16),
    ):  # fmt: skip
        images = to_images(given, GREY)
        assert images.dtype == np.float32
        np.testing.assert_allclose(images, _FLOATS, rtol=1e-7)
    np.testing.assert_array_equal(to_images(_FLOATS > 0.5, GREY), _FLOATS > 0.5)
    assert to_images(np.zeros((0, 4, 5, 1), np.uint8), GREY).shape == (0, 4, 5, 1)


_OTHERS = [
    (_FLOATS * 255, r"float64 with values from 0 to 234; give floats in \[0, 1\], whole .* 255"),
    (np.full((2, 4, 5, 1), np.nan), "from nan to nan; give floats"),
    (_LEVELS.astype(np.uint16) * 17, "uint16 with values from 0 to 3978; .* 0 to 255"),
    (_LEVELS - 1, "int64 with values from -1 to 233; .* 0 to 255"),
    (_LEVELS // 200, "int64 with values 0 and 1 alone; white must be 255. Give bool or floats"),
    (_FLOATS.astype(complex), "of the type complex128; give floats in"),
    (
        _FLOATS[0],
        r"shape \(4, 5, 1\) do not fit this model; it takes \[N, 4, 5, 1\]; channels are last",
    ),
    ([[1, 2], [3]], "a list that cannot be made an array"),
]


def test_other_images_are_refused():
    for given, message in _OTHERS:
        assert _refuses(message, to_images, given, GREY), message


def test_latents_labels_and_numbers_of_every_type_are_taken():
    for given in ([[1, 2], [3, 4]], tf.constant([[1, 2], [3, 4]])):
        latents = to_latents(given, 2)
        assert latents.dtype == np.float32
        np.testing.assert_array_equal(latents, [[1, 2], [3, 4]])
    for given in (
        [0, 2, 1], np.array([0, 2, 1], np.uint8), ["ant", "cat", "1"], [0.0, 2.0, 1.0],
        [[0], [2], [1]], np.eye(3)[[0, 2, 1]], np.eye(3, dtype=bool)[[0, 2, 1]],
    ):  # fmt: skip
        labels = to_labels(given, 3, ABC)
        assert labels.dtype == np.int32
        np.testing.assert_array_equal(labels, [0, 2, 1])
    np.testing.assert_array_equal(to_labels("cat", 3, ABC), [2, 2, 2])
    numbers = to_labels(np.array(["3", "1", "2"], object), 3, ("1", "2", "3"))  # these are names
    for given in (numbers, [2, 0, 1]):
        np.testing.assert_array_equal(to_labels(given, 3, ("1", "2", "3")), [2, 0, 1])
    for given in (7, np.uint64(7), tf.constant(7)):
        number = to_whole(given, "num", 0, 9)
        assert number == 7 and type(number) is int


def test_other_latents_labels_and_numbers_are_refused():
    for given, message in (
        (np.zeros((3, 3)), r"it takes \[N, 2\]\."),
        ([[np.nan, 0]], "must be finite"), ([[1e300, 0]], "must be finite"),
        ([[True, False]], "give floats"), ([[1], [2, 3]], "give floats"),
    ):  # fmt: skip
        assert _refuses(message, to_latents, given, 2), message
    for given in (
        [-1, 0, 1], [0, 1, 3], [0, 1], [0.5, 1.0, 2.0], 3, [True, False, True], np.eye(3)[:, :2],
    ):  # fmt: skip
        assert _refuses("numbers of classes from 0 to 2", to_labels, given, 3, ABC)
    assert _refuses("one label for each of the 3 images", to_labels, np.ones((3, 3)), 3, ABC)
    assert _refuses("eel is no class .* it knows ant, bee, cat", to_labels, "eel", 3, ABC)
    for given, said in (
        (-1, "num=-1"), (10, "num=10"), (2.0, "num=2.0"), (True, "num=True"),
        ("3", "num: is a str"), (np.zeros(3), "num: is a ndarray"),
    ):  # fmt: skip
        message = f"^{said}; must be a whole number from 0 to 9.$"
        assert _refuses(message, to_whole, given, "num", 0, 9), given


# What a model does with them.


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
    random.seed(3)
    unlike = [vae.sample(4), vae.sample(4)]
    random.seed(3)
    np.testing.assert_array_equal(vae.sample(4), unlike[0])
    assert np.any(unlike[0] != unlike[1])


def test_a_model_draws_itself_into_figures_that_nothing_holds(vae, conditional, many, monkeypatch):
    panels = []
    monkeypatch.setattr(
        mosaics,
        "panel_figure",
        lambda panel, draw=mosaics.panel_figure: panels.append(panel) or draw(panel),
    )
    figures = [conditional.plot_samples(seed=7), vae.plot_reconstructions(many)]
    (samples,), (originals, reconstructed) = (panel.sets for panel in panels)
    np.testing.assert_array_equal(samples, conditional.sample(60, 7))
    assert panels[0].columns == 10  # one for each class
    np.testing.assert_array_equal(originals, many[:32])
    _assert_near(reconstructed, vae.reconstruct(many[:32]))
    figures.append(vae.plot_latents(many, np.array(ABC)[np.arange(300) % 3]))
    dots = figures[-1].axes[0].collections[0]
    _assert_near(dots.get_offsets(), vae.encode(many).mean)
    np.testing.assert_array_equal(dots.get_facecolors()[:3], dots.get_facecolors()[3:6])
    shown = [text.get_text() for text in figures[-1].axes[0].texts]
    assert shown == list(ABC)
    figures.append(conditional.plot_latents(many[:3], ["0", "1", 2]))
    shown, display = [], SimpleNamespace(Image=bytes, display=lambda png: shown.append(png))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(display=display))
    for figure in figures:  # a notebook shows it in one size, with pyplot and without
        figure._ipython_display_()
        assert figure.axes and shown[-1] == figure._repr_png_() and shown[-1][:4] == b"\x89PNG"
    assert not pyplot.get_fignums()


def test_parts_are_joined_in_order_with_their_labels(conditional, many):
    labels = np.random.default_rng(0).integers(0, 10, len(many)).astype(np.int32)
    pixels = conditional.pixels.binarize_mode(tf.constant(many))
    expected = conditional.encode(pixels, np.eye(10)[labels])
    found, grey = conditional.encode(images=many, labels=labels), tf.constant(many)
    for others in (expected, conditional.encode(grey, labels.tolist())):  # tensors
        _assert_near(found.mean, others.mean)
        _assert_near(found.logvar, others.logvar)
    drawn = conditional.decode(expected.mean, tf.constant(labels))
    assert tf.is_tensor(drawn)
    _assert_near(conditional((grey, labels)), drawn)
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
    ("sample", (2, _FRAMES), "seed: is a ndarr"),
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
    with pytest.raises(UserError, match="steps=-1; must be a whole number from 0 to"):
        vae.refine(_FRAMES, steps=-1)
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
