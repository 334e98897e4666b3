"""What is measured of images: its name, its title, its unit, and which is better."""

import math
from typing import NamedTuple


class Measure(NamedTuple):
    """One number that a family measures of images."""

    name: str  # what its column in metrics.csv is called, after "train_" or "test_"
    title: str  # for people
    unit: str
    higher_is_better: bool = True


def nats_of_one_bit(image_shape: tuple[int, int, int]) -> float:
    """Nats per image of one bit per dimension; each channel of each pixel is a dimension."""
    return math.prod(image_shape) * math.log(2)
