"""How far drawn images are from real ones, in features by name."""

from cvae_tf.core.settings import find
from cvae_tf.data.datasets import Dataset
from cvae_tf.distances import classifier
from cvae_tf.distances.distances import Features, load_random

FEATURES = {"classifier": classifier.load, "random": load_random}


def for_dataset(dataset: Dataset, name: str = "auto") -> Features:
    """Makes or loads features that suit a data set.

    Args:
        dataset: whose images are to be told apart.
        name: one of `FEATURES`; or "auto": of a classifier if the images have labels of at
            least two classes, else of a random network.

    Raises:
        UserError: if the name is unknown, or they cannot be had.
    """
    if name == "auto":
        name = "classifier" if classifier.has_classes(dataset) else "random"
    return find("features", FEATURES, name)(dataset)
