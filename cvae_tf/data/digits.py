"""The bundled digits: scans of 8 x 8 pixels, enlarged and varied into images like those of MNIST.

They are the test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak,
UCI Machine Learning Repository, CC BY 4.0).
"""

from pathlib import Path

import numpy as np
import tensorflow as tf

from cvae_tf.data import batches, safe_npz
from cvae_tf.data.datasets import Dataset, Split

LICENCE = "Optical Recognition of Handwritten Digits (E. Alpaydin, C. Kaynak, UCI): CC BY 4.0"
_FOR_TRAINING = 1500
_COPIES = 16  # of a digit for training: one as it is, the others warped
_SPREAD = batches.WarpRange(degrees=6.0, scale=0.07, shear=0.1, shift=0.7)


def load(seed: int = 0) -> Dataset:
    """Loads 24,000 variations of digits for training, and 297 originals of others for testing.

    Args:
        seed: decides the variations.

    Returns:
        The data set, uint8 [N, 28, 28, 1].
    """
    scans = safe_npz.read_npz(Path(__file__).with_name("digits.npz"), ("images", "labels"))
    images, labels = scans["images"], scans["labels"]
    cut = _FOR_TRAINING
    varied = [
        _enlarge(images[:cut], batches.WarpRange() if copy == 0 else _SPREAD, [seed, copy])
        for copy in range(_COPIES)
    ]
    return Dataset(
        name="bundled digits",
        origin="The bundled digits (UCI, 1,797 scans).",
        train=Split(np.concatenate(varied), np.tile(labels[:cut], _COPIES)),
        test=Split(_enlarge(images[cut:], batches.WarpRange(), [seed, 0]), labels[cut:]),
        licence=LICENCE,
    )


def _enlarge(images: np.ndarray, spread: batches.WarpRange, seed: list[int]) -> np.ndarray:
    """Makes 8 x 8 scans in 0..16 into 20 x 20 digits centred in 28 x 28, as MNIST has them."""
    grey = tf.constant(images[..., np.newaxis] / 16, tf.float32)
    smooth = tf.image.resize(grey, [80, 80], "bicubic")  # four pixels for each one of the result
    transforms = batches.random_transforms(len(images), seed, spread, (80, 80), (20, 20))
    result = batches.warp(smooth, transforms, (28, 28))
    return np.rint(np.clip(result, 0, 1) * 255).astype(np.uint8)
