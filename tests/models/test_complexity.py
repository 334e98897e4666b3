"""What scores are to be expected of images by their complexity."""

import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.models.vae import complexity


def _expected(places, trend):
    return complexity.expected_score(
        tf.constant(places, tf.float32), tf.constant(trend, tf.float32)
    ).numpy()


def test_variation_is_that_of_neighbours():
    images = np.random.default_rng(0).random((2, 4, 6, 5, 3)).astype(np.float32)
    images[0, 0] = 0.5
    sums = np.zeros((2, 4))
    for axis in (2, 3):
        sums += np.abs(np.diff(images.astype(float), axis=axis)).sum(axis=(2, 3, 4))
    expected = np.log((sums + 1) / (6 * 5 * 3))
    found = complexity.complexities(*map(tf.constant, images))  # of images and reconstructions
    np.testing.assert_allclose(found, expected.T, rtol=1e-5)


def test_a_parabola_is_found_and_ends_with_what_was_seen():
    places = np.linspace(-4, -1, 50)

    def scores(at):
        return 3 - 20 * at - 4 * at**2

    trend, _ = complexity.fit_trend(places, np.append(scores(places[:-1]), np.nan))
    new = np.array([-9.0, -4, -2.5, -1.2, 5])
    expected = scores(np.clip(new, -4, places[-2]))
    np.testing.assert_allclose(_expected(new, trend), expected, rtol=1e-4)


def test_scores_are_relative_to_the_parabola_that_expects_more_of_the_others():
    random = np.random.default_rng(3)
    known, scores = random.normal(size=(30, 2)), random.normal(size=30)
    trends, above = complexity.fit_trends(known, scores)
    for left_out in range(5):
        others = np.arange(30) != left_out
        fits = (np.polyfit(own[others], scores[others], 2) for own in known.T)
        expects = [np.polyval(fit, at) for fit, at in zip(fits, known[left_out], strict=True)]
        assert above[left_out] == pytest.approx(scores[left_out] - max(expects), rel=1e-6)
    expected = [np.polyval(np.polyfit(own, scores, 2), own[:5]) for own in known.T]
    given = (tf.constant(part, tf.float32) for part in (scores[:5], known[:5], trends))
    found = complexity.relative_scores(*given)
    np.testing.assert_allclose(found, scores[:5] - np.maximum(*expected), atol=1e-5)


@pytest.mark.parametrize(
    ("places", "scores", "expected"),
    [
        ([-2.0, -2, -2], [1.0, 2, 6], [3, 3, 3]),
        ([-2.0, -1], [np.nan, -np.inf], [0, 0]),
        ([-2.0, -1, -1], [4.0, 7, 9], [4, 8, 8]),
        (-2 + 1e-4 * np.linspace(-1, 1, 30), *[5 + 0.1 * np.linspace(-1, 1, 30)] * 2),
    ],
)
def test_few_images_and_such_as_are_alike_have_a_trend_too(places, scores, expected):
    trend, _ = complexity.fit_trend(np.array(places), np.array(scores))
    np.testing.assert_allclose(_expected(places, trend), expected, rtol=1e-4)
