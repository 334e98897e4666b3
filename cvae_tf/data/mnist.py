"""MNIST, from the Keras cache or by a download into it."""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.core.messages import say
from cvae_tf.data import own_file, safe_npz
from cvae_tf.data.datasets import Dataset

LICENCE = "MNIST (Y. LeCun, C. Cortes, C. J. C. Burges): CC BY-SA 3.0"
# Of the bytes of the arrays in the order of `own_file.ARRAYS`, however they were packed.
_SHA256 = "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16"
_OTHERWISE = "Use --data_path=FILE.npz for a copy of yours, or --dataset=digits."


def load(seed: int = 0, seconds: float = 300) -> Dataset:
    """Loads MNIST from the Keras cache, or downloads it into the cache.

    Args:
        seed: changes nothing: MNIST is always the same.
        seconds: the longest wait for a download.

    Returns:
        The data set, uint8 [N, 28, 28, 1].

    Raises:
        UserError: if it is not in the cache and cannot be downloaded, or the cached file is
            damaged. That file is then left as it is, where the loader of Keras would delete it.
    """
    keras_home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    cached = keras_home / "datasets" / "mnist.npz"
    try:
        if not cached.exists():
            _download(cached, seconds)
        dataset = own_file.from_arrays(cached, _read(cached), seed)
    except UserError as error:
        raise UserError(f"{error}\n{_OTHERWISE}") from error
    return dataset._replace(name="MNIST", origin=f"MNIST, from {cached}.", licence=LICENCE)


def _read(cached: Path) -> dict[str, np.ndarray]:
    """Reads the arrays of MNIST, and no others."""
    arrays = safe_npz.read_npz(cached, own_file.ARRAYS)
    digest = hashlib.sha256()
    for name in own_file.ARRAYS:
        if name in arrays:
            digest.update(np.ascontiguousarray(arrays[name]))
    if digest.hexdigest() != _SHA256:
        raise UserError(f"{cached} does not hold MNIST as it was published; move it away.")
    return arrays


def _download(cached: Path, seconds: float) -> None:
    """Lets Keras download and check the file in a process that can be stopped, then moves it."""
    say(f"MNIST is not in the Keras cache; trying to download it (at most {seconds} s) ...")
    code = "import socket, keras; socket.setdefaulttimeout(5); keras.datasets.mnist.load_data()"
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".downloading-", dir=cached.parent) as home:
            subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "KERAS_HOME": home},
                timeout=seconds,
                check=True,
                capture_output=True,
            )
            (Path(home) / "datasets" / "mnist.npz").replace(cached)
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError("MNIST is not in the Keras cache and cannot be downloaded.") from error
