"""Trains a convolutional variational autoencoder: flags -> Config -> a run directory."""

from absl import flags

from cvae_tf import cli
from cvae_tf.config import Config
from cvae_tf.core.errors import UserError

_RUN_DIR = flags.DEFINE_string(
    "run_dir", None, "A new directory for everything of this run (default: runs/DATE_TIME)."
)
_RESUME = flags.DEFINE_bool("resume", False, "Go on with the run in --run_dir.")
_CHECKPOINT_EVERY = flags.DEFINE_string(
    "checkpoint_every", "300s", "Checkpoints within an epoch: every 500 (steps) or 60s (seconds)."
)
_TENSORBOARD = flags.DEFINE_bool("tensorboard", False, "Write for TensorBoard too, if installed.")
cli.define_flags(Config)
flags.adopt_module_key_flags(cli)  # so that --help shows them


def main() -> None:
    """Trains what the flags say."""
    settings = cli.settings_from_flags(Config)
    if _RESUME.value and not _RUN_DIR.value:
        raise UserError("--resume needs --run_dir, such as --run_dir=runs/latest.")
    config = None if _RESUME.value else Config.create(**settings)
    with cli.quiet_tensorflow():
        from cvae_tf import workflows
    checkpoint_every = workflows.Interval.parse(_CHECKPOINT_EVERY.value)
    if _RESUME.value:
        workflows.resume(_RUN_DIR.value, settings, checkpoint_every, _TENSORBOARD.value)
    else:
        workflows.train(config, _RUN_DIR.value, checkpoint_every, _TENSORBOARD.value)


if __name__ == "__main__":
    cli.run(main)
