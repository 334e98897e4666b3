"""Trains a model: settings -> a run directory with the SavedModel."""

from absl import flags

from cvae_tf import cli
from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.presets import PRESETS
from cvae_tf.registry import STRATEGIES
from cvae_tf.training.run_files import CHECKPOINT_EVERY, LATEST, RUNS


def define_flags() -> None:
    """Makes the flags of this command."""
    flags.DEFINE_string(
        "run_dir", None, "A new directory for everything of this run (default: runs/DATE_TIME)."
    )
    flags.DEFINE_bool("resume", False, "Go on with the run in --run_dir.")
    flags.DEFINE_string(
        "checkpoint_every",
        CHECKPOINT_EVERY,
        "Checkpoints within an epoch: every 500 (steps) or 60s (seconds).",
    )
    flags.DEFINE_bool("tensorboard", False, "Write for TensorBoard too, if installed.")
    flags.DEFINE_integer(
        "cache_mb",
        None,
        "Megabytes of images of a folder to keep in memory; more are read from disk when they are "
        "needed (default: half of what is free).",
        lower_bound=0,
    )
    flags.DEFINE_integer(
        "disk_mb",
        None,
        "Megabytes of decoded pictures to keep in the Keras cache, for each data set (default: "
        "half of what is free).",
        lower_bound=0,
    )
    flags.DEFINE_enum(
        "strategy",
        "single",
        list(STRATEGIES),
        f"Where to train. {STRATEGIES.summary}.",
    )
    flags.DEFINE_integer(
        "logical_cpus",
        0,
        "For mirrored, to try it without GPUs: devices that the processor counts as.",
        lower_bound=0,
        upper_bound=64,
    )
    cli.define_flags(Config, PRESETS)


def main() -> None:
    """Trains what the flags say."""
    given = flags.FLAGS
    settings = cli.settings_from_flags(Config)
    if given.resume and not given.run_dir:
        raise UserError(f"--resume needs --run_dir, such as --run_dir={RUNS / LATEST}.")
    if not given.resume:
        Config.create_before_data(**settings)  # before TensorFlow takes its time
    with cli.quiet_import():
        from cvae_tf import workflows
    names = ("checkpoint_every", "tensorboard", "cache_mb", "disk_mb", "strategy", "logical_cpus")
    how = {name: given[name].value for name in names}
    if given.resume:
        workflows.resume(given.run_dir, **how, **settings)
    else:
        workflows.train(None, given.run_dir, **how, **settings)
