"""True posteriors with two modes: where they are, and what is drawn of them."""

import numpy as np
import pytest
import tensorflow as tf
from helpers import designed_model

from cvae_tf.evaluation import true_posterior
from cvae_tf.models.vae.posterior import Posterior


def _two_peaks(latents):
    """Logits of one pixel with equal peaks at (1, 1) and (-1, 0.5)."""
    peaks = [tf.reduce_sum((latents - peak) ** 2, axis=1) / 0.02 for peak in ([1, 1], [-1, 0.5])]
    return tf.reshape(-20 - tf.minimum(*peaks), [-1, 1, 1, 1])


def _rising_to_the_edge(latents):
    """A peak in the middle; it is as high at the edge of the grid."""
    x = latents[:, 0]
    logits = -20 + tf.maximum(-(x**2) / 0.02, (x - 3) / 0.02 + 4) + x**2 / 2
    return tf.reshape(logits, [-1, 1, 1, 1])


def _find(decode, monkeypatch, mean=(1.0, 1.0), deviation=(0.05, 0.1)):
    """Looks at two images of one pixel, of which only the second has two modes."""
    monkeypatch.setattr(true_posterior, "_CANDIDATES", 1)
    model = designed_model(None, decode, 2, (1, 1, 1))
    pixels = np.array([0, 1], np.float32).reshape(2, 1, 1, 1)
    posteriors = Posterior(np.array([(9, 9), mean]), 2 * np.log([(1, 1), deviation]))
    return true_posterior.find_two_modes(model, pixels, np.array([5.0, 0.7]), posteriors)


def test_modes_are_found_with_their_images_and_the_log_posterior_about_them(monkeypatch):
    modes = _find(_two_peaks, monkeypatch)
    assert modes.image == 1
    found = modes.places[np.argsort(modes.places[:, 0])]
    np.testing.assert_allclose(found, [[-1, 0.5], [1, 1]], atol=0.05)
    expected = 1 / (1 + np.exp(-np.asarray(_two_peaks(tf.constant(modes.places)))))
    np.testing.assert_allclose(modes.decoded, expected, rtol=1e-5)
    left, right, bottom, top = modes.box
    x, y = np.meshgrid(np.linspace(left, right, 200), np.linspace(bottom, top, 200))
    nearest = np.minimum((x - 1) ** 2 + (y - 1) ** 2, (x + 1) ** 2 + (y - 0.5) ** 2)
    log_joint = -20 - nearest / 0.02 - (x**2 + y**2) / 2
    np.testing.assert_allclose(modes.log_density, log_joint - log_joint.max(), atol=0.01)


def test_modes_and_the_encoder_lie_inside_and_what_rises_to_the_edge_is_no_mode(monkeypatch):
    modes = _find(_two_peaks, monkeypatch, mean=(-3.4, 2), deviation=(0.1, 0.3))
    left, right, bottom, top = modes.box
    assert left < -3.4 - 0.3 and right > 1.2 and bottom < 0.3 and top > 2 + 0.9
    assert right - left == pytest.approx(top - bottom)
    assert _find(_rising_to_the_edge, monkeypatch) is None
