"""How images look: how much grey there is in them, by which settings that suit them are chosen."""

from typing import Any, NamedTuple

import numpy as np

from cvae_tf.data.shown_images import spread_rows

_LOOKED_AT = 1000  # images
_GREY = 0.25  # MNIST has 0.07, the bundled digits 0.19, CIFAR-10 in grey 0.77


class Looks(NamedTuple):
    """How images look."""

    greyness: float  # 0 if every pixel is black or white, 1 if all are halfway
    channels: int

    @property
    def are_black_and_white(self) -> bool:
        """Whether they are, or nearly so."""
        return self.channels == 1 and self.greyness < _GREY

    @property
    def description(self) -> str:
        """What they are, for people."""
        if self.channels > 1:
            return "have colours"
        return (
            "are black and white or nearly so" if self.are_black_and_white else "have grey levels"
        )


def look_at(images: Any) -> Looks:
    """Finds out how images look, by some of them from the whole set.

    Args:
        images: uint8 [N, H, W, C], an array or what reads them from the disk.
    """
    levels = images[spread_rows(len(images), _LOOKED_AT)].astype(np.float32) / 255
    return Looks(round(float(np.mean(4 * levels * (1 - levels))), 4), images.shape[-1])
