"""What is measured of images: its name, its title, its unit, and which is better."""

from typing import NamedTuple


class Measure(NamedTuple):
    """One number that a family measures of images."""

    name: str  # what its column in metrics.csv is called, after "train_" or "test_"
    title: str  # for people
    unit: str
    higher_is_better: bool = True
