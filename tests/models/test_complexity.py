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
    images = np.random.default_rng(0).random((4, 6, 5, channels)).astype(np.float32)
    images[0] = 0.5
    sums = [
        sum(abs(image[r, c] - image[r - down, c - along]).sum()
            for down, along in ((1, 0), (0, 1)) for r in range(down, 6) for c in range(along, 5))
        for image in images.astype(float)
    ]  # fmt: skip
    expected = np.log((np.array(sums) + 1) / (6 * 5 * channels))
    found = complexity.log_total_variation(tf.constant(images))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_parabola_is_found_and_ends_with_what_was_seen():
    places = np.linspace(-4, -1, 50)

    def scores(at):
        return 3 - 20 * at - 4 * at**2

    trend, _ = complexity.fit_trend(places, np.append(scores(places[:-1]), np.nan))
    new = np.array([-9.0, -4, -2.5, -1.2, 5])
    np.testing.assert_allclose(
        _expected(new, trend), scores(np.clip(new, -4, places[-2])), rtol=1e-4
    )


def test_least_squares_are_those_of_numpy():
    random = np.random.default_rng(1)
    places, scores = random.normal(size=(2, 40))
    expected = np.polyval(np.polyfit(places, scores, 2), places)
    np.testing.assert_allclose(
        _expected(places, complexity.fit_trend(places, scores)[0]), expected, atol=1e-5
    )


def test_each_score_is_compared_with_a_parabola_of_the_others():
    random = np.random.default_rng(2)
    places, scores = random.normal(size=(2, 9))
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
    np.testing.assert_allclose(
        above, np.minimum(*(complexity.fit_trend(own, scores)[1] for own in known.T))
    )
    new = known[:5].astype(np.float32)
    expected = [np.polyval(np.polyfit(own, scores, 2), part)
                for own, part in zip(known.T, known[:5].T, strict=True)]  # fmt: skip
    given = tf.constant(trends, tf.float32)
    found = complexity.relative_scores(tf.constant(scores[:5], tf.float32), new, given)
    np.testing.assert_allclose(found, scores[:5] - np.maximum(*expected), atol=1e-5)


def test_images_and_reconstructions_are_each_as_complex_as_they_are():
    images, others = np.random.default_rng(4).random((2, 3, 6, 5, 1)).astype(np.float32)
    found = complexity.complexities(images, others)
    for column, own in zip(tf.unstack(found, axis=1), (images, others), strict=True):
        np.testing.assert_array_equal(column, complexity.log_total_variation(tf.constant(own)))


def test_images_that_are_nearly_equally_complex_have_a_trend():
    places = -2 + 1e-4 * np.linspace(-1, 1, 30)
    trend, above = complexity.fit_trend(places, 5 + 1000 * (places + 2))
    np.testing.assert_allclose(_expected(places, trend), 5 + 1000 * (places + 2), rtol=1e-4)
    assert np.abs(above).max() < 1e-6


@pytest.mark.parametrize(
    ("places", "scores", "expected"),
    [([-2.0, -2, -2], [1.0, 2, 6], 3), ([-2.0], [5.0], 5), ([-2.0, -1], [np.nan, -np.inf], 0)],
)
def test_few_images_have_a_trend_too(places, scores, expected):
    trend, _ = complexity.fit_trend(np.array(places), np.array(scores))
    assert _expected([-2.0], trend) == pytest.approx(expected, rel=1e-5)


def test_two_places_have_a_line():
    trend, _ = complexity.fit_trend(np.array([-2.0, -1, -1]), np.array([4.0, 7, 9]))
    np.testing.assert_allclose(_expected([-2, -1.5, -1], trend), [4, 6, 8], rtol=1e-5)
