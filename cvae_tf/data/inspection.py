"""Looking at a data set: which of its images to show, and how they look.

Their looks decide which settings are chosen for them, and which are warned of.
"""

from collections import Counter
from typing import Any, NamedTuple

import numpy as np

_LOOKED_AT = 1000  # images
_GREY = 0.25  # MNIST has 0.07, the bundled digits 0.19, CIFAR-10 in grey 0.77
_LEAST_KEPT = 0.5  # of the variance; a threshold raises that of black and white images
_FEW = 0.1  # of all images
_MOST = 0.9  # of all images
_NEARLY_ALL = 0.95  # of all images; drawings may be empty more often than not
_SMALL_PART = 128  # of the 256 levels


class Looks(NamedTuple):
    """How images look."""

    greyness: float  # 0 if every pixel is black or white, 1 if all are halfway
    shape: tuple[int, int, int]  # height, width, channels
    num: int  # how many there are
    lowest: int  # level, from 0 to 255; without outliers if nearly all images have few levels
    highest: int
    share_of_little: float  # of images that use only a small part of the levels
    share_of_same: float  # of images that are one and the same
    share_lost: float  # of images that lose most of their content at a threshold of 0.5

    @property
    def suffer_at_threshold(self) -> bool:
        """Whether a threshold makes some of them nearly blank."""
        return self.share_lost > _FEW

    @property
    def vanish_at_threshold(self) -> bool:
        """Whether a threshold makes nearly all of them nearly blank, or the same."""
        return self.share_lost > _MOST

    @property
    def use_little_of_the_range(self) -> bool:
        """Whether nearly all of them use only a small part of the levels."""
        return self.share_of_little > _MOST

    @property
    def are_nearly_all_the_same(self) -> bool:
        """Whether there is hardly more than one image."""
        return self.share_of_same > _NEARLY_ALL

    @property
    def are_black_and_white(self) -> bool:
        """Whether they are black and white, or nearly so, and a threshold keeps their content."""
        is_light = self.shape[-1] == 1 and self.greyness < _GREY
        return is_light and not (self.suffer_at_threshold or self.are_nearly_all_the_same)

    @property
    def are_dark(self) -> bool:
        """Whether those that `highest` describes have no bright level."""
        return self.highest < _SMALL_PART

    @property
    def levels(self) -> str:
        """The range of their levels, for people."""
        return f"levels from {self.lowest} to {self.highest} of 0 to 255"

    @property
    def description(self) -> str:
        """What they are, for people."""
        if self.shape[-1] > 1:
            return "have colours"
        if self.are_black_and_white:
            return "are black and white or nearly so"
        if self.suffer_at_threshold and self.greyness < _GREY:
            return f"would lose what is on them at a threshold ({self.levels})"
        return "are nearly all the same" if self.are_nearly_all_the_same else "have grey levels"


def look_at(images: Any) -> Looks:
    """Finds out how images look, uint8 [N, H, W, C] in memory or on disk, from some of them."""
    some = images[evenly_spaced_indices(len(images), _LOOKED_AT)]
    grey = some.astype(np.float32) / 255
    lowest, highest, share_of_little = _levels_of(some)
    counts = Counter(hash(image.tobytes()) for image in some)
    return Looks(
        greyness=round(float(np.mean(4 * grey * (1 - grey))), 4),
        shape=tuple(images.shape[1:]),
        num=len(images),
        lowest=lowest,
        highest=highest,
        share_of_little=share_of_little,
        share_of_same=max(counts.values()) / len(some),
        share_lost=_share_lost(grey),
    )


def _levels_of(images: np.ndarray) -> tuple[int, int, float]:
    """The lowest and the highest level, and the share of images that have only few levels.

    If nearly all have few, the others (a broken pixel) do not count; nor do empty images.
    """
    lowest, highest = images.min(axis=(1, 2, 3)), images.max(axis=(1, 2, 3))
    ranges = highest - lowest
    is_drawn = ranges > 0 if ranges.any() else ranges == 0
    share_of_little = float(np.mean(ranges[is_drawn] < _SMALL_PART))
    if share_of_little > _MOST:
        is_usual = is_drawn & (ranges < _SMALL_PART)
        lowest, highest = lowest[is_usual], highest[is_usual]
    return int(lowest.min()), int(highest.max()), share_of_little


def _share_lost(grey: np.ndarray) -> float:
    """The share of images that lose most of their variance if pixels above 0.5 become white.

    It is 1 if they then differ from each other much less than before.
    """
    white = (grey > 0.5).astype(np.float32)
    before, after = grey.var(axis=0).mean(), white.var(axis=0).mean()
    if after < _LEAST_KEPT * before:
        return 1.0
    lost = white.var(axis=(1, 2, 3)) < _LEAST_KEPT * grey.var(axis=(1, 2, 3))
    return float(np.mean(lost))


def evenly_spaced_indices(available: int, count: int) -> np.ndarray:
    """Spreads indices evenly over a whole set: int [min(available, count)], from 0, rising."""
    count = min(available, count)
    return np.arange(count) * available // max(count, 1)


def choose_shown(labels: np.ndarray | None, num_images: int, count: int) -> np.ndarray:
    """Chooses images to show; the first ones of a sorted set would all be of one class.

    Args:
        labels: of the images, [N]; None if there are none.
        num_images: N.
        count: how many to choose, if there are as many.

    Returns:
        int [min(N, count)], indices of images, none twice. With labels: one of each class in turn,
        as evenly as the classes allow.
    """
    if labels is None:
        return evenly_spaced_indices(num_images, count)
    _, classes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    places = _places_of_classes(sizes, min(num_images, count))
    chosen = [
        (turn, label, np.flatnonzero(classes == label)[position])
        for label in np.flatnonzero(places)
        for turn, position in enumerate(evenly_spaced_indices(sizes[label], places[label]))
    ]
    return np.array([index for _, _, index in sorted(chosen)], np.int64)


def _places_of_classes(sizes: np.ndarray, count: int) -> np.ndarray:
    """Gives `count` places to classes, round by round, to none more than its size."""
    places = np.zeros(len(sizes), np.int64)
    while places.sum() < count:
        unfilled = np.flatnonzero(places < sizes)
        places[unfilled[evenly_spaced_indices(len(unfilled), count - places.sum())]] += 1
    return places


def margin_brightness(images: np.ndarray) -> float:
    """The mean level of the outermost rows and columns of images, uint8 [N, H, W, C].

    It is 0 if all are black, 1 if all are white: it tells the background.
    """
    sides = images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]
    return float(np.mean([side.sum(dtype=np.int64) / side.size for side in sides])) / 255
