"""A run: where each of its files is, its configuration, the facts about its data."""

from pathlib import Path
from typing import Any, NamedTuple

from cvae_tf.config import Config

# Names that must be known where there is a directory, but no `Run`.
CONFIG = "config.json"
SAVED_MODEL = Path("export") / "1"  # in a numbered folder, as model servers expect
MODEL_JSON = "model.json"  # beside each exported model
EVALUATION, ANIMATION = "evaluation.json", "progress.gif"
RUNS, LATEST = Path("runs"), "latest"  # a link to the newest one that has something to use


class Run(NamedTuple):
    """A run directory and what is written in its `config.json`."""

    directory: Path
    config: Config
    data: dict[str, Any]  # what `run_directory.describe_data` says

    @property
    def config_file(self) -> Path:
        """Settings and data."""
        return self.directory / CONFIG

    @property
    def metrics(self) -> Path:
        """A row for each epoch."""
        return self.directory / "metrics.csv"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.directory / "checkpoints"

    @property
    def finishing(self) -> Path:
        """What was learned after the last step; empty of most models."""
        return self.directory / "finishing.npz"

    @property
    def images(self) -> Path:
        """The folder of the pictures of the epochs."""
        return self.directory / "images"

    def epoch_image(self, epoch: int) -> Path:
        """The picture of an epoch, 0 before training."""
        return self.images / f"image_at_epoch_{epoch:04d}.png"

    @property
    def epoch_images(self) -> list[Path]:
        """The pictures of the epochs that there are, in their order."""
        pictures = self.images.glob("image_at_epoch_*.png")
        return sorted(pictures, key=lambda path: int(path.stem.rpartition("_")[2]))

    @property
    def animation(self) -> Path:
        """The pictures of the epochs as a GIF."""
        return self.directory / ANIMATION

    @property
    def manifold(self) -> Path:
        """The picture of the decoded latent space."""
        return self.directory / "manifold.png"

    @property
    def latents(self) -> Path:
        """The picture of the latents of the test images."""
        return self.directory / "latents.png"

    @property
    def curves(self) -> Path:
        """The picture of the metrics."""
        return self.directory / "curves.png"

    @property
    def tensorboard(self) -> Path:
        """The folder of what TensorBoard reads."""
        return self.directory / "tensorboard"

    @property
    def saved_model(self) -> Path:
        """The SavedModel."""
        return self.directory / SAVED_MODEL

    @property
    def exports(self) -> Path:
        """The folder of the exported models."""
        return self.saved_model.parent

    @property
    def report(self) -> Path:
        """The page of the run, for a browser."""
        return self.directory / "report.html"

    @property
    def evaluation(self) -> Path:
        """The numbers of an evaluation; its other files lie beside it."""
        return self.directory / EVALUATION
