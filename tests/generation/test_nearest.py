"""Samples beside the nearest training images, against distances of all pairs."""

import numpy as np
import pytest

from cvae_tf import workflows
from cvae_tf.core.errors import UserError
from cvae_tf.data.given_images import load_own
from cvae_tf.exporting import loading


def test_black_and_white_is_compared_with_black_and_white(exported_digits, tmp_path):
    model = loading.load(exported_digits)
    made = workflows.generate(model, "nearest", tmp_path, num=9, verbose=0)
    drawn = (made.arrays["images"] > 0.5).reshape(9, -1)
    training = load_own(model.metadata).train.images
    white = training.reshape(len(training), -1) > 127
    differences = np.stack([(own != white).sum(axis=1) for own in drawn])
    np.testing.assert_array_equal(made.arrays["rows"], differences.argmin(axis=1))
    np.testing.assert_allclose(made.arrays["squared_distances"], differences.min(axis=1), atol=1e-2)
    np.testing.assert_array_equal(np.unique(made.arrays["nearest"]), [0, 1])


def test_moved_training_images_must_be_known(exported_digits, small_npz, tmp_path):
    """This model does not say by which sum its images are known."""
    with pytest.raises(UserError, match="not recorded which images the model was trained on"):
        workflows.generate(exported_digits, "nearest", tmp_path, data_path=small_npz, verbose=0)
