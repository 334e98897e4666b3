"""Runs that must still resume, load and score: `earlier_runs.tar.gz`, written by earlier code.

    PYTHONPATH=CHECKOUT python tests/earlier_runs.py

makes the archive and its figures, `earlier_runs.json`, again, with the code of that checkout.
"""

import json
import os
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import golden_values
import numpy as np

ARCHIVE = Path(__file__).with_name("earlier_runs.tar.gz")
FIGURES = Path(__file__).with_name("earlier_runs.json")
RUNS = {
    "vae": {"preset": "fast", "latent_dim": 2},
    "conditional": {"preset": "mlp20", "latent_dim": 3, "conditional": True},
}
_KEPT = ("config.json", "metrics.csv", "finishing.npz", "checkpoints", "export")
_SMALL = {"network": "mlp", "hidden": "8", "batch_size": 20, "seed": 5, "verbose": 0}


def unpack(place: Path) -> None:
    """Unpacks the runs, a folder each, and their images into a folder."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(place, filter="data")


def measure(place: Path, name: str) -> dict[str, Any]:
    """What the export of a run gives, and the last row of the metrics after one more epoch."""
    import cvae_tf

    model = cvae_tf.load(place / name / "export" / "1")
    with np.load(place / "images.npz") as arrays:
        images, labels = arrays["x_test"][:4], arrays["y_test"][:4].astype(np.int32)
    latents = np.linspace(-1, 1, 4 * model.latent_dim, dtype=np.float32).reshape(4, -1)
    given = {"labels": labels} if RUNS[name].get("conditional") else {}
    posterior = model.encode(images, **given)
    results = {
        "sample": model.sample(4, seed=1, **given),
        "decode": model.decode(latents, **given),
        "mean": posterior.mean,
        "logvar": posterior.logvar,
        "reconstruct": model.reconstruct(images, **given),
        **model.score(images, **given, seed=2),
    }
    moved = {"data_path": place / "images.npz", "epochs": 2}
    run = cvae_tf.resume(place / name, verbose=0, **moved)
    row = {key: value for key, value in run.history[-1].items() if "second" not in key}
    return {
        "export": {key: golden_values.summary(value) for key, value in results.items()},
        "resumed": row,
    }


def main() -> None:
    """Writes the archive and the figures."""
    import cvae_tf
    from cvae_tf.core.tensorflow_setup import set_threads
    from cvae_tf.data.loading import load_dataset

    set_threads(0)
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        parts = zip(("train", "test"), load_dataset("digits")[2:4], (60, 20), strict=True)
        arrays = {}
        for part, split, num in parts:
            arrays |= {f"x_{part}": split.images[:num, 8:20, 8:20, 0]}
            arrays |= {f"y_{part}": split.labels[:num]}
        np.savez_compressed("images.npz", **arrays)
        for kind, settings in RUNS.items():
            cvae_tf.train(run_dir=kind, data_path="images.npz", epochs=1, **_SMALL, **settings)
        with tarfile.open(ARCHIVE, "w:gz") as archive:
            for path in ("images.npz", *(f"{kind}/{part}" for kind in RUNS for part in _KEPT)):
                archive.add(path)
        figures = {kind: measure(Path(name), kind) for kind in RUNS}
    figures = {"machine": golden_values.machine(), **figures}
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
