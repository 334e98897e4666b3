import os

import numpy as np
from PIL import Image

from cvae_tf.data.folder_listing import list_pictures
from cvae_tf.reading import ReadingSettings

READING = ReadingSettings()


def pixels_of(number, height=8, width=8, channels=1):
    """Random pixels, others for each number; uint8 [H, W, C]."""
    shape = (height, width, channels)
    return np.random.default_rng(number).integers(0, 256, shape).astype(np.uint8)


def save(path, pixels, **options):
    """Writes pixels [H, W, C] as a picture; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    Image.fromarray(array).save(path, **options)
    return path


def save_all(root, names, **options):
    """Writes a picture of 8 x 8 for each name; returns their pixels by name."""
    pixels = {name: pixels_of(number, **options) for number, name in enumerate(names)}
    for name, each in pixels.items():
        save(root / name, each)
    return pixels


def names_of(root):
    """The listed paths of a folder, as texts."""
    return [os.fsdecode(path) for path in list_pictures(root).paths]
