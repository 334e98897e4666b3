"""What tests of pictures share: simple images, and what stands on a page before it is written."""

import imageio.v3 as iio
import numpy as np

from cvae_tf.drawing import canvas


def flat_images(levels, height=2, width=3, channels=1):
    """One image of each grey level."""
    levels = np.asarray(levels, np.float32)
    return np.tile(levels[:, None, None, None], (1, height, width, channels))


def noise_images(num, height, width, channels=1, seed=0):
    random = np.random.default_rng(seed)
    return random.uniform(size=(num, height, width, channels)).astype(np.float32)


def size_of(path):
    return iio.improps(path).shape[:2]


def watch_pages(monkeypatch, write=True):
    """A list that the pages come into, as matplotlib figures, also if they are not written."""
    pages, save = [], canvas.save

    def keep(figure, path, **options):
        pages.append(figure)
        if write:
            save(figure, path, **options)

    monkeypatch.setattr(canvas, "save", keep)
    return pages
