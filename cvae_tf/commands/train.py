"""Trains a model: settings -> a run directory with the SavedModel."""

from absl import flags

from cvae_tf import cli
from cvae_tf.config import PRESETS, Config
from cvae_tf.core.errors import UserError
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
    how = {"checkpoint_every": given.checkpoint_every, "tensorboard": given.tensorboard}
    if given.resume:
        workflows.resume(given.run_dir, **how, **settings)
    else:
        workflows.train(None, given.run_dir, **how, **settings)
