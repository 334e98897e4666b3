"""What people do with this package: train, resume, export, generate, evaluate, report.

The scripts call exactly these. Results are returned as well as written.
"""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cvae_tf.config import EVALUATION, Config, RunOptions
from cvae_tf.core import files, paths, tensorflow_setup, terminal
from cvae_tf.core.errors import UserError
from cvae_tf.core.settings import among, check_names
from cvae_tf.data.datasets import Dataset, Split, as_arrays, training_arrays, with_classes
from cvae_tf.data.loading import load_again, load_dataset
from cvae_tf.data.pictures import IN_MEMORY
from cvae_tf.evaluation import evaluating, tables_and_pictures
from cvae_tf.evaluation.evaluating import Distance, Evaluation
from cvae_tf.evaluation.settings import EvaluationSettings, check_output
from cvae_tf.exporting.formats import check_packages, describe_run, export_run
from cvae_tf.exporting.load import as_loaded, introduce, load_newest, run_of
from cvae_tf.exporting.load import load as load
from cvae_tf.generation import modes
from cvae_tf.generation.image_modes import Generated
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.models.base import GenerativeModel
from cvae_tf.models.gan.model import GAN as GAN
from cvae_tf.models.vae.model import CVAE as CVAE
from cvae_tf.reporting import page
from cvae_tf.training import building, run_directory, signals
from cvae_tf.training.distribution import Distribution, start_strategy
from cvae_tf.training.pictures import RunPictures
from cvae_tf.training.run_directory import Run
from cvae_tf.training.run_training import (
    check_tensorboard,
    conclude,
    fit_after_training,
    known_run,
    run_of_chief,
    take_best_epoch,
    train_run,
)
from cvae_tf.training.trainer import Trainer, take_averages


class TrainedRun(NamedTuple):
    """A finished run; it can be given wherever its directory is wanted."""

    directory: Path  # holds everything of the run
    config: Config
    history: list[dict[str, float]]  # the rows of `metrics.csv`, one for each epoch
    saved_model: Path  # the exported model, for `load`, `generate` and TensorFlow alone

    def __fspath__(self) -> str:
        """The path of its directory."""
        return str(self.directory)


def train(
    x_train: Any = None,
    y_train: Any = None,
    x_test: Any = None,
    y_test: Any = None,
    class_names: Sequence[str] | None = None,
    *,
    config: Config | None = None,
    run_dir: str | Path | None = None,
    **settings: Any,
) -> TrainedRun:
    """Trains a model, writes a run directory, and returns the finished run.

    `train(x_train)` learns from arrays. `train(epochs=3, latent_dim=8)` is `python train.py
    --epochs=3 --latent_dim=8`. It works in any thread and leaves signals alone. Ctrl-C ends it
    after a checkpoint, and `resume` goes on.

    Args:
        x_train: images, [N, H, W] or [N, H, W, C]: whole numbers from 0 to 255, floats in [0, 1] or
            bool; an array, a list, or a `tf.data.Dataset` of images or of (image, label), in
            batches or not. Without it, settings name the images.
        y_train: a label for each image, numbers, texts or one-hot. They colour pictures; with
            `conditional=True` the model learns them.
        x_test: images for testing, as `x_train`; by default a tenth of that is held out.
        y_test: their labels.
        class_names: of the labels 0, 1, ...
        config: all settings, as `Config.create` makes them; or give by name those that differ
            from the defaults. If no preset is named, the images decide: `fast` for black and white,
            `photo` for grey levels and colours.
        run_dir: a new directory; by default one in `runs`, named after the time.
        **settings: fields of `Config`, if it is not given; and of `RunOptions`, such as
            `strategy="mirrored"`, `checkpoint_every="60s"` or `verbose=0`.

    Returns:
        The finished run: its directory, its configuration, a row of measures for each epoch, and
        where the exported model is.

    Raises:
        UserError: if a setting, the images or the directory cannot be used, or the loss stops being
            finite.
        KeyboardInterrupt: at Ctrl-C, after a checkpoint; it says how to go on.
    """
    if isinstance(x_train, Config):
        config, x_train = x_train, None
    if isinstance(y_train, str | Path):
        raise UserError(f"run_dir={y_train} must be given by its name.")
    options, settings = _divide(settings)
    if config is not None and (settings or not isinstance(config, Config)):
        raise UserError("Give a Config, as Config.create(...) makes it, or settings by name.")
    asked = config or Config.create(**settings)  # refuses what no images allow
    with terminal.verbosity(options.verbose):
        arrays = training_arrays(x_train, y_train, x_test, y_test, class_names)
        if arrays:
            _refuse_other_images(asked)
            config = config and dataclasses.replace(config, dataset=IN_MEMORY)
            settings["dataset"] = IN_MEMORY
        _set_threads(asked.threads)
        where = options.strategy, options.logical_cpus
        with start_strategy(*where, asked.to_json()) as distribution:
            config, trainer = _prepare(asked, config, settings, arrays, options, distribution)
            arrays.clear()  # the data set has what is needed of them
            if not distribution.is_chief:
                return _follow(config, trainer, options)
            with run_directory.new_run(run_dir, config, trainer.dataset) as run:
                return _train_and_export(run, trainer, options)


def _prepare(
    asked: Config, config: Config | None, settings: dict[str, Any], arrays: dict[str, np.ndarray],
    options: RunOptions, distribution: Distribution,
) -> tuple[Config, Trainer]:  # fmt: skip
    """Loads the images, completes the configuration by them, and builds the model's trainer."""
    images = asked.data_path, asked.seed, asked, options.cache_mb
    dataset = load_dataset(asked.dataset, *images, arrays)
    several = distribution.num_replicas > 1
    config = building.complete_settings(config, settings, dataset, several)
    if config.conditional:
        dataset = with_classes(dataset)
    elif "y_train" in arrays:
        terminal.say("labels:  they colour pictures; with conditional=True the model learns them")
    return config, building.build_trainer(config, dataset, distribution)


def _refuse_other_images(config: Config) -> None:
    """Raises a UserError if settings name images although arrays were given."""
    if config.data_path is not None or config.dataset not in (Config.dataset, IN_MEMORY):
        name = "dataset" if config.data_path is None else "data_path"
        raise UserError(f"x_train and {name}={getattr(config, name)}: give one of the two.")


def resume(
    run_dir: str | os.PathLike,
    x_train: Any = None,
    y_train: Any = None,
    x_test: Any = None,
    y_test: Any = None,
    class_names: Sequence[str] | None = None,
    **settings: Any,
) -> TrainedRun:
    """Goes on with a run from its newest good checkpoint, to the same end as without a break.

    Of its directory, only `config.json` and the checkpoints are needed. A finished run
    gets its pictures and its export again; with more `epochs`, it is trained further.

    Args:
        run_dir: of the run, or the finished run itself.
        x_train: this and the following as in `train`, if the run has learned from arrays: these are
            not kept, but identified by their SHA-256.
        y_train: labels.
        x_test: images for testing.
        y_test: their labels.
        class_names: of the labels.
        **settings: fields of `RunOptions`, which may differ from before; and of `Config`, which
            must be those of the run: only `epochs` may be more, and `data_path` another
            place of the same images.

    Returns:
        The finished run, as `train` does.

    Raises:
        UserError: as in `train`; or if there is no run, its data have changed, its settings
            contradict those asked for, or no good checkpoint is left.
        KeyboardInterrupt: as in `train`.
    """
    options, settings = _divide(settings)
    known = known_run(run_dir, options.strategy)
    with terminal.verbosity(options.verbose):
        _set_threads(known.config.threads if known else settings.get("threads", 0))
        asked = {"resume": True, **settings}
        arrays = training_arrays(x_train, y_train, x_test, y_test, class_names)
        if arrays and settings.get("data_path"):
            raise UserError("x_train and data_path: give one of the two.")
        with start_strategy(options.strategy, options.logical_cpus, asked) as distribution:
            run = run_of_chief(known, distribution)
            config = run.config.extended(settings)
            with signals.naming(run.directory):
                trainer = building.build_trainer(
                    config, _load_again(run, config, options, arrays), distribution
                )
                arrays.clear()
                if not distribution.is_chief:
                    return _follow(config, trainer, options)
                return _go_on(run, config, trainer, options)


def _set_threads(wanted: int) -> None:
    """Sets the number of TensorFlow's threads, or says that it is fixed; 0: one for each core."""
    if not tensorflow_setup.set_threads(wanted) and wanted:
        terminal.say(f"TensorFlow is in use already, and keeps its threads (threads={wanted}).")


def _go_on(run: Run, config: Config, trainer: Trainer, options: RunOptions) -> TrainedRun:
    """Goes on with a run as the chief, which writes to its directory; see `resume`."""
    with run_directory.locked(run):
        files.remove_temporaries(run.directory)
        if config != run.config:
            run = run_directory.changed(run, config, trainer.dataset)
        return _train_and_export(run, trainer, options)


def _follow(config: Config, trainer: Trainer, options: RunOptions) -> TrainedRun:
    """Trains as a worker other than the chief, which tells it where everything is.

    It stops when all agree to: if it left alone, the others could not go on.
    """
    distribution = trainer.distribution
    with signals.before_failures(), signals.held_back():
        run = Run(Path(distribution.from_chief(bytes).decode()), config, {})
        history = train_run(run, trainer, None, options)
        distribution.end_together()
    return TrainedRun(run.directory, config, history, run.saved_model)


def _train_and_export(run: Run, trainer: Trainer, options: RunOptions) -> TrainedRun:
    """Trains a run to its end, as the chief, and exports it; its directory is locked."""
    distribution = trainer.distribution
    with signals.naming(run.directory):
        distribution.from_chief(str(run.directory).encode)
        pictures = RunPictures(run, trainer.model, trainer.dataset)
        history = train_run(run, trainer, pictures, options)
        rows = take_best_epoch(run, trainer.model, history)
        take_averages(trainer.model)
        model = trainer.model.for_inference()  # all that follows shares its graphs
        fit_after_training(run, model, trainer.dataset, int(trainer.model.steps.numpy()))
        pictures, test = RunPictures(run, model, trainer.dataset), trainer.dataset.test
        trainer.release()
        pictures.draw_exported(rows[-1])
        terminal.say("exporting the model and the animation of the epochs ...")
        saved_model = export_run(run, model, rows)
        terminal.say("drawing the latents and the curves, and the page ...")
        pictures.draw_summary(history)  # last, so that no picture can cost the model
        _write_page(run, model.with_metadata(describe_run(run, model, rows)), test)
        conclude(run, model, rows, saved_model)
        distribution.end_together()
    return TrainedRun(run.directory, run.config, history, saved_model)


def _write_page(run: Run, model: GenerativeModel, test: Split) -> None:
    """Writes the page of a run; an error there does not spoil the run."""
    try:
        page.write(run.directory, at_hand=(model, test))
    except Exception as error:  # a page has many parts, and none is worth a run
        reason = str(error).partition("\n")[0]
        terminal.warn(f"report.html is missing ({reason}); report.py tries again.")


def _divide(settings: dict[str, Any]) -> tuple[RunOptions, dict[str, Any]]:
    """Divides named settings into `RunOptions` and those of `Config`.

    Raises:
        UserError: if a name is unknown, an option is not valid, or TensorBoard is missing.
    """
    check_names(settings, Config, RunOptions)
    options = RunOptions(**among(settings, RunOptions))
    if options.tensorboard:
        check_tensorboard()
    return options, among(settings, Config)


def _load_again(
    run: Run, config: Config, options: RunOptions, arrays: dict[str, np.ndarray]
) -> Dataset:
    """Loads the images of a run, which may have been moved, with classes if it needs them."""
    moved_to = None if config.data_path == run.config.data_path else config.data_path
    images = run.config.data_path, config.seed, config, options.cache_mb
    dataset = load_again(run.data, *images, moved_to=moved_to, arrays=arrays)
    if config.conditional:
        dataset = with_classes(dataset)
        run_directory.check_labels(run, dataset)
    return dataset


def export(
    run_dir: str | os.PathLike,
    output: str | Path | None = None,
    format: str = "saved_model",  # noqa: A002 - the name of its flag
    *,
    verbose: int = 1,
) -> Path:
    """Exports a run again from its newest checkpoint, also one that is still being trained.

    With `early_stop` it takes the checkpoint of the best epoch.

    Args:
        run_dir: of the run, or the finished run itself.
        output: a directory for the files, which must not hold them already; by default their
            place in the run, where they are replaced.
        format: "saved_model", with the GIF of the epochs; "litert", "onnx" or "keras".
        verbose: 0 prints nothing.

    Returns:
        The directory of the exported model.

    Raises:
        UserError: if there is no run or no checkpoint in it, the format is unknown or needs a
            package that is missing, or the directory cannot be written.
    """
    with terminal.verbosity(verbose):
        check_packages(format)
        output = None if output is None else paths.expand(output)
        # Other runtimes take the weights as they are stored.
        own = building.load_trained(run_dir, None if format == "saved_model" else "float32")
        directory = export_run(own.run, own.model, own.metrics, output, format)
        where = paths.shown(directory)
        terminal.say(f"Exported to {where}.")
        if format == "saved_model":
            terminal.say(f"Next:\n  {terminal.command('generate', f'--saved_model={where}')}")
    return directory


def generate(
    model: GenerativeModel | str | os.PathLike,
    mode: str = "samples",
    output: str | Path = "generated",
    *,
    images: Any = None,
    labels: Any = None,
    verbose: int = 1,
    **settings: Any,
) -> Generated:
    """Makes pictures or latents with a trained model.

    `generate("runs/latest", "interpolate", start=3, end=8)` is
    `python generate.py --run_dir=runs/latest --mode=interpolate --start=3 --end=8`.

    Args:
        model: what `load` returns, a finished run, or the directory of a run or of an exported
            model.
        mode: what to make: "samples", "manifold", "nearest", "reconstruct", "interpolate",
            "neighbours", "class", "styles", "transfer", "anomalies", "denoise" or "latents".
        output: a directory for the files; files of the same names are replaced.
        images: to work on, as `x_train` of `train`; by default those of `data_path`, or the model's
            own test images.
        labels: of the images.
        verbose: 0 prints nothing.
        **settings: fields of `GenerationSettings` that the mode uses, such as `num`.

    Returns:
        `files`: what was written, the one to look at first; `arrays`: what they show, by name, such
        as "images", float32 [N, H, W, C] in [0, 1]; `notes`: remarks on them.

    Raises:
        UserError: if there is no such mode or setting, the model or the images do not allow it, or
            a file cannot be written.
    """
    check_names(settings, GenerationSettings)
    with terminal.verbosity(verbose):
        arrays = as_arrays(images, labels, ("images", "labels"))
        chosen = modes.choose(mode, arrays, **settings)
        output = paths.expand(output)
        loaded = as_loaded(model)
        terminal.say(introduce(loaded, model))
        before = set(output.glob("*"))
        made = modes.generate(loaded, mode, chosen, output)
        some = made.files if len(made.files) < 5 else [f"{len(made.files)} files to {output}"]
        for path in some:
            terminal.say(f"written: {path}{' (replaced)' if path in before else ''}")
        for note in made.notes:
            terminal.say(note)
    return made


def evaluate(
    model: GenerativeModel | str | os.PathLike,
    output: str | Path | None = None,
    *,
    images: Any = None,
    labels: Any = None,
    verbose: int = 1,
    **settings: Any,
) -> Evaluation | Distance:
    """Measures how likely images are to a model, exactly if possible, and how real its own look.

    Args:
        model: a finished run or its directory, whose newest checkpoint is used; or the directory
            of an exported model, or what `load` returns.
        output: a .json file; a table of all images and a picture are written beside it. By default
            `evaluation.json` in the run, and nothing for an exported model.
        images: as in `generate`.
        labels: of the images.
        verbose: 0 prints nothing.
        **settings: fields of `EvaluationSettings`, such as `data_path` and `samples`.

    Returns:
        The evaluation: arrays with a value for each image, in nats; its `distance` is that between
        drawn and real images. For models without a likelihood, only that `Distance`.

    Raises:
        UserError: if there is no such setting, no such model, the images cannot be read or do not
            fit, or a file cannot be written.
    """
    check_names(settings, EvaluationSettings)
    chosen = EvaluationSettings(**settings)
    with terminal.verbosity(verbose):
        chosen.with_arrays(as_arrays(images, labels, ("images", "labels")))
        home = run_of(model)
        measured = load_newest(home) if home else as_loaded(model)
        terminal.say(introduce(measured, model))
        output = home and home / EVALUATION if output is None else paths.expand(output)
        if output:
            check_output(output)
            files.make_directory(output.parent)  # better than to fail after minutes of work
        found = evaluating.evaluate(measured, chosen)
        terminal.say(tables_and_pictures.as_table(found))
        for path in tables_and_pictures.write(found, output) if output else []:
            terminal.say(f"written: {path}")
    return found


def report(
    model: str | os.PathLike,
    output: str | Path | None = None,
    compare: Sequence[str | os.PathLike] = (),
    *,
    verbose: int = 1,
) -> Path:
    """Writes a page of a run or an exported model: one HTML file that needs nothing else.

    Args:
        model: the directory of a run, or of an exported model; or a finished run.
        output: the file; by default `report.html` in the run, or in this folder.
        compare: other runs; the page then shows all of them side by side.
        verbose: 0 prints nothing.

    Returns:
        The file.

    Raises:
        UserError: if there is no such model, or the file cannot be written.
    """
    target = None if output is None else paths.expand(output)
    with terminal.verbosity(verbose):
        path = page.write(model, target, compare)
        terminal.say(f"written: {paths.shown(path)}")
    return path
