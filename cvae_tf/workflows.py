"""What the scripts do, as functions: train a configuration, export a run."""

from pathlib import Path

import tensorflow as tf

from cvae_tf import batches, networks, optimizers, pictures, provenance, runs, screen, serving
from cvae_tf.config import Config
from cvae_tf.datasets import load_dataset
from cvae_tf.errors import UserError
from cvae_tf.gallery import Gallery
from cvae_tf.model import CVAE
from cvae_tf.runs import Run
from cvae_tf.training import EpochResult, Trainer


def build_model(config: Config, image_shape: networks.ImageShape, num_images: int) -> CVAE:
    """Builds and compiles the model of a configuration, with fresh weights.

    Args:
        config: the configuration.
        image_shape: height, width and channels of an image.
        num_images: for training; with epochs and batch size they give the length of the schedule.

    Returns:
        The model.

    Raises:
        UserError: if the network is unknown or cannot take such images, or there are too few.
    """
    steps = batches.steps_per_epoch(num_images, config.batch_size)
    pair = networks.build_networks(
        config.network, image_shape, config.latent_dim, config.seed, config.precision
    )
    model = CVAE(pair, seed=config.seed)
    model.compile(
        optimizer=optimizers.build_optimizer(
            config.learning_rate,
            config.schedule,
            total_steps=config.epochs * steps,
            warmup_steps=config.warmup_steps,
            weight_decay=config.weight_decay,
        ),
        jit_compile=config.jit,
    )
    return model


def train(config: Config, run_dir: str | None = None) -> Run:
    """Trains a model and writes everything of the run; the screen shows how it goes.

    Args:
        config: the configuration.
        run_dir: a new directory; by default one in `runs`, named after the time.

    Returns:
        The finished run.

    Raises:
        UserError: if the data or the directory cannot be used.
    """
    if config.threads:
        _limit_threads(config.threads)
    dataset = load_dataset(config.dataset, config.data_path, config.seed)
    model = build_model(config, dataset.image_shape, len(dataset.train.images))
    trainer = Trainer(model, dataset, config.batch_size, config.augment, config.jit)
    run = runs.create_run(run_dir, config, dataset)
    screen.announce(run)
    gallery = Gallery(run, model, dataset)
    gallery.draw_epoch(0, trainer.evaluate().elbo)
    metrics: list[dict[str, float]] = []
    progress = screen.EpochProgress(trainer.steps_per_epoch)
    for result in trainer.run_epochs(config.epochs, progress):
        metrics.append(metrics_row(result))
        runs.write_metrics(run, metrics)
        runs.save_checkpoint(run, model, metrics)
        gallery.draw_epoch(result.epoch, result.test.elbo)
        screen.report(result, config.epochs)
    gallery.draw_summary(metrics)
    screen.conclude(run, export(run, model, metrics))
    return run


def _limit_threads(threads: int) -> None:
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError as error:
        raise UserError("--threads must be set before TensorFlow is first used.") from error


def metrics_row(result: EpochResult) -> dict[str, float]:
    """Flattens the result of an epoch to a row of `metrics.csv`."""
    return {
        "epoch": result.epoch,
        "step": result.step,
        "train_elbo": round(result.train_elbo, 4),
        "test_elbo": round(result.test.elbo, 4),
        "test_log_likelihood": round(result.test.log_likelihood, 4),
        "test_kl": round(result.test.kl, 4),
        "train_seconds": round(result.train_seconds, 3),
        "test_seconds": round(result.test_seconds, 3),
        "images_per_second": round(result.images_per_second, 1),
    }


def export(
    run: Run, model: CVAE, metrics: list[dict[str, float]], output: Path | None = None
) -> Path:
    """Writes the SavedModel and the GIF of a run.

    Args:
        run: the run.
        model: its trained model.
        metrics: the rows of its `metrics.csv`.
        output: a directory for both; by default their places in the run, where they are replaced.

    Returns:
        The directory of the SavedModel.

    Raises:
        UserError: if `output` already holds a model or cannot be written.
    """
    saved_model = (output or run.directory / "export") / "1"
    animation = (output or run.directory) / "progress.gif"
    for path in (saved_model, animation):
        if output and path.exists():
            raise UserError(f"--output={output}: {path} exists; choose another directory.")
    try:
        serving.export_saved_model(model, saved_model, provenance.describe(run, metrics))
        if run.epoch_images:
            pictures.animate(run.epoch_images, animation)
    except OSError as error:
        raise UserError(f"{saved_model}: cannot be written ({error.strerror}).") from error
    return saved_model


def export_from_checkpoint(run_dir: str, output: str | None = None) -> Path:
    """Exports a run from its newest checkpoint.

    Args:
        run_dir: of the run.
        output: as in `export`.

    Returns:
        The directory of the SavedModel.

    Raises:
        UserError: as in `export`; or if there is no run, or no checkpoint in it.
    """
    run = runs.load_run(run_dir)
    model = build_model(run.config, run.data["image_shape"], run.data["train_images"])
    checkpoint = runs.restore_newest_checkpoint(run, model)
    return export(run, model, checkpoint.metrics, Path(output) if output else None)
