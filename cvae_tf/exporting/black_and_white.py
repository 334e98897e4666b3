"""Whether a model knows but black and white, and images as such a model knows them."""

from typing import Any

import numpy as np

_WHITE = 0.5  # above it


def is_black_and_white(metadata: dict[str, Any]) -> bool:
    """Whether a model knows but black and white, by its `model.json`."""
    said = metadata.get("black_and_white")
    if said is None and "pixels" in metadata:  # a VAE of an older version
        return metadata.get("config", {}).get("binarize") == "threshold"
    return bool(said)


def as_known(images: np.ndarray, metadata: dict[str, Any]) -> np.ndarray:
    """Images, uint8 or in [0, 1], as the model knows them, so that real and drawn ones compare."""
    if not is_black_and_white(metadata):
        return images
    white = _WHITE * 255 if images.dtype == np.uint8 else _WHITE
    return (images > white).astype(np.float32)
