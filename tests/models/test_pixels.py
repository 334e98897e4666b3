"""What a pixel is: how it is made of a grey level, and what its likelihood may be called."""

import numpy as np
import pytest
import tensorflow as tf

from cvae_tf.core.errors import UserError
from cvae_tf.models.vae.pixels import Pixels

KEY = tf.constant([1, 2])
GREY = np.arange(256, dtype=np.float32).reshape(1, 16, 16, 1) / 255


def test_grey_levels_above_one_half_are_white_where_nothing_is_drawn():
    expected = [0.0] * 128 + [1.0] * 128
    for found in (Pixels("threshold").drawn(GREY, KEY), Pixels("dynamic").likeliest(GREY)):
        np.testing.assert_array_equal(np.ravel(found), expected)
    grey = np.float32([0.5, 0.50001]).reshape(1, 1, 2, 1)
    np.testing.assert_array_equal(np.ravel(Pixels().likeliest(grey)), [0, 1])
    np.testing.assert_array_equal(Pixels("none").drawn(GREY, KEY), GREY)


def test_drawn_pixels_are_white_with_the_grey_level_as_their_probability():
    grey = np.broadcast_to(np.float32([0.0, 0.1, 0.9, 1.0]), (20_000, 1, 1, 4))
    drawn = Pixels("dynamic").drawn(tf.constant(grey), KEY).numpy()
    np.testing.assert_allclose(drawn.mean(axis=(0, 1, 2)), [0, 0.1, 0.9, 1], atol=0.01)
    assert set(np.unique(drawn)) == {0, 1}


def test_what_is_drawn_for_an_image_depends_on_its_number_and_not_on_its_batch():
    grey = tf.fill([9, 5, 5, 1], 0.4)
    together = Pixels("dynamic").drawn(grey, KEY).numpy()
    for first, last in ((0, 4), (4, 9), (7, 8)):
        own = Pixels("dynamic").drawn(grey[first:last], KEY, first)
        np.testing.assert_array_equal(own, together[first:last])
    assert len(np.unique(together.reshape(9, -1), axis=0)) == 9


def test_unknown_pixels_are_refused_with_the_names_that_are():
    with pytest.raises(UserError, match="--binarize=halves: unknown; choose from threshold"):
        Pixels("halves").likeliest(tf.constant(GREY))
    with pytest.raises(UserError, match="--likelihood=poisson: unknown; choose from bernoulli"):
        _ = Pixels("none", "poisson").density


def test_cross_entropy_of_grey_levels_is_never_called_a_likelihood():
    grey = Pixels("none", "bernoulli")
    assert not grey.has_likelihood
    for measure in grey.terms.values():
        assert "likelihood" not in measure.name + measure.title and measure.name != "elbo"
    for pixels in (Pixels("threshold"), Pixels("dynamic"), Pixels("none", "gaussian")):
        assert pixels.has_likelihood
        assert [measure.name for measure in pixels.terms.values()] == list(pixels.terms)
