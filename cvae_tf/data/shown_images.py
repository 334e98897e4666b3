"""Which images of a data set a picture shows: a few, of all classes and from the whole set."""

import numpy as np


def choose_shown(labels: np.ndarray | None, num_images: int, count: int) -> np.ndarray:
    """Chooses images to show; the first ones of a sorted set would all be of one class.

    Args:
        labels: of the images, [N]; None if there are none.
        num_images: N.
        count: how many to choose, if there are as many.

    Returns:
        int [min(N, count)], indices of images, none twice, the same every time. With labels: one
        of each class in turn, as evenly as the classes allow; if there are more classes than
        places, of some of them.
    """
    if labels is None:
        return spread_rows(num_images, count)
    _, classes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    places = _places_of_classes(sizes, min(num_images, count))
    chosen = [
        (turn, label, np.flatnonzero(classes == label)[position])
        for label in np.flatnonzero(places)
        for turn, position in enumerate(spread_rows(sizes[label], places[label]))
    ]
    return np.array([index for _, _, index in sorted(chosen)], np.int64)


def _places_of_classes(sizes: np.ndarray, count: int) -> np.ndarray:
    """Deals `count` places out to classes, round by round, to each no more than its size."""
    places = np.zeros(len(sizes), np.int64)
    while places.sum() < count:
        unfilled = np.flatnonzero(places < sizes)
        places[unfilled[spread_rows(len(unfilled), count - places.sum())]] += 1
    return places


def spread_rows(available: int, count: int) -> np.ndarray:
    """Numbers of images spread over a whole set, int [min(available, count)], from 0, rising."""
    count = min(available, count)
    return np.arange(count) * available // max(count, 1)
