import os
import re
import zlib
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, TiffImagePlugin

from cvae_tf.data.folder import Listing


def grey(*shape, seed=0):
    """Random levels, uint8."""
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def pixels_of(number, height=8, width=8, channels=1):
    """Random pixels, others for each number; uint8 [H, W, C]."""
    return grey(height, width, channels, seed=number)


def save(path, pixels, **options):
    """Writes pixels [H, W, C] as a picture; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    Image.fromarray(array).save(path, **options)
    return path


def save_tiff(path, samples, are_planes=False, **tags):
    """Writes samples of any type, [H, W] or [H, W, B], as a TIFF; COMPRESSION=8 deflates them."""
    height, width, bands = samples.reshape(*samples.shape[:2], -1).shape
    data = (np.moveaxis(samples, -1, 0) if are_planes else samples).tobytes()
    data = zlib.compress(data) if tags.get("COMPRESSION") == 8 else data
    num_strips = bands if are_planes else 1
    size = len(data) // num_strips
    values = {
        "IMAGEWIDTH": width,
        "IMAGELENGTH": height,
        "BITSPERSAMPLE": (8 * samples.itemsize,) * bands,
        "COMPRESSION": 1,
        "PHOTOMETRIC_INTERPRETATION": 2 if bands == 3 else 1,
        "SAMPLESPERPIXEL": bands,
        "PLANAR_CONFIGURATION": 2 if are_planes else 1,
        "SAMPLEFORMAT": ({"u": 1, "i": 2, "f": 3}[samples.dtype.kind],) * bands,
        "STRIPOFFSETS": tuple(size * i for i in range(num_strips)),
        "ROWSPERSTRIP": height,
        "STRIPBYTECOUNTS": (size,) * num_strips,
        **tags,
    }
    directory = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\0\0\0\0")
    for name, value in values.items():
        directory[getattr(TiffImagePlugin, name)] = value
    with path.open("wb") as file:
        directory.save(file)
        file.write(data)
    return path


def save_all(root, names, **options):
    """Writes a picture of 8 x 8 for each name; returns their pixels by name."""
    pixels = {name: pixels_of(number, **options) for number, name in enumerate(names)}
    for name, each in pixels.items():
        save(root / name, each)
    return pixels


def expand(patterns):
    """Texts as a shell writes them: "{a,b}/{1,2}.png c" are five."""
    waiting, done = patterns.split(), []
    while waiting:
        text = waiting.pop(0)
        match = re.search(r"\{([^{}]*)\}", text)
        if match:
            parts = match[1].split(",")
            waiting += [text[: match.start()] + part + text[match.end() :] for part in parts]
        else:
            done.append(text)
    return done


def listing_of(names):
    """What is listed of a folder "data" with such pictures, and empty folders ("a/")."""
    names = expand(names)
    pictures = [name for name in names if not name.endswith("/")]
    above = {str(each) for name in names for each in PurePosixPath(f"{name}x").parents}
    return Listing(
        root=Path("data"),
        paths=sorted(map(os.fsencode, pictures)),
        facts=np.zeros((len(pictures), 3), np.int64),
        folders=sorted(map(os.fsencode, above - {"."})),
        left_alone={},
    )
