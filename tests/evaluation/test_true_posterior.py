import numpy as np
import tensorflow as tf

from cvae_tf.evaluation import evaluated_model, true_posterior


def _two_peaks(latents):
    """Logits of one pixel with equal peaks at (1, 1) and (-1, 0.5)."""
    peaks = [tf.reduce_sum((latents - peak) ** 2, axis=1) / 0.02 for peak in ([1, 1], [-1, 0.5])]
    return tf.reshape(-20 - tf.minimum(*peaks), [-1, 1, 1, 1])


def test_modes_are_found_with_their_images(monkeypatch):
    monkeypatch.setattr(true_posterior, "_CANDIDATES", 1)
    model = evaluated_model.Subject(None, _two_peaks, 2, (1, 1, 1), "bernoulli", "threshold", {})
    pixels = np.array([0, 1], np.float32).reshape(2, 1, 1, 1)
    modes = true_posterior.find_two_modes(model, pixels, missed=np.array([5.0, 0.7]))
    assert modes.image == 1
    found = modes.places[np.argsort(modes.places[:, 0])]
    np.testing.assert_allclose(found, [[-1, 0.5], [1, 1]], atol=0.05)
    left, right, bottom, top = modes.box
    assert left < -1 and right > 1 and bottom < 0.5 and top > 1
    expected = 1 / (1 + np.exp(-np.asarray(_two_peaks(tf.constant(modes.places)))))
    np.testing.assert_allclose(modes.decoded, expected, rtol=1e-5)
    assert modes.density.max() == 1 and modes.density.shape == (200, 200)
