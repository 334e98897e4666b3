import numpy as np
import pytest

from cvae_tf.core.errors import UserError
from cvae_tf.data import tfds_sets
from cvae_tf.data.datasets import fingerprint, load_again, load_dataset

tfds = pytest.importorskip("tensorflow_datasets")
