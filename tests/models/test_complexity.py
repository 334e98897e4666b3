"""What scores are to be expected of images by their complexity."""

import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.models.vae import complexity


def _expected(places, trend):
    return complexity.expected_score(
        tf.constant(places, tf.float32), tf.constant(trend, tf.float32)
    ).numpy()


@pytest.mark.parametrize("channels", [1, 3])
def test_variation_is_that_of_neighbours(channels):
    images = np.random.default_rng(0).random((2, 4, 6, 5, channels)).astype(np.float32)
    images[0, 0] = 0.5
    sums = np.zeros((2, 4))
    for axis in (2, 3):
        sums += np.abs(np.diff(images.astype(float), axis=axis)).sum(axis=(2, 3, 4))
    expected = np.log((sums + 1) / (6 * 5 * channels))
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


def test_each_score_is_compared_with_a_parabola_of_the_others():
    places, scores = np.random.default_rng(2).normal(size=(2, 9))
    _, above = complexity.fit_trend(places, scores)
    for left_out in range(9):
        others = np.arange(9) != left_out
        fitted = np.polyfit(places[others], scores[others], 2)
        expected = scores[left_out] - np.polyval(fitted, places[left_out])
        assert above[left_out] == pytest.approx(expected, rel=1e-6)


def test_scores_are_relative_to_the_parabola_that_expects_more():
    random = np.random.default_rng(3)
    known, scores = random.normal(size=(30, 2)), random.normal(size=30)
    trends, above = complexity.fit_trends(known, scores)
    assert trends.shape == complexity.TRENDS_SHAPE
    each = [complexity.fit_trend(own, scores)[1] for own in known.T]
    np.testing.assert_allclose(above, np.minimum(*each))
    expected = [np.polyval(np.polyfit(own, scores, 2), own[:5]) for own in known.T]
    given = (tf.constant(part, tf.float32) for part in (scores[:5], known[:5], trends))
    found = complexity.relative_scores(*given)
    np.testing.assert_allclose(found, scores[:5] - np.maximum(*expected), atol=1e-5)


@pytest.mark.parametrize(
    ("places", "scores", "expected"),
    [
        ([-2.0, -2, -2], [1.0, 2, 6], [3, 3, 3]),
        ([-2.0], [5.0], [5]),
        ([-2.0, -1], [np.nan, -np.inf], [0, 0]),
        ([-2.0, -1, -1], [4.0, 7, 9], [4, 8, 8]),
        (-2 + 1e-4 * np.linspace(-1, 1, 30), *[5 + 0.1 * np.linspace(-1, 1, 30)] * 2),
    ],
)
def test_few_images_and_such_as_are_alike_have_a_trend_too(places, scores, expected):
    trend, _ = complexity.fit_trend(np.array(places), np.array(scores))
    np.testing.assert_allclose(_expected(places, trend), expected, rtol=1e-4)
