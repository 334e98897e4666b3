"""Trains a convolutional variational autoencoder: flags -> Config -> a run directory."""

from absl import flags

from cvae_tf import cli

_RUN_DIR = flags.DEFINE_string(
    "run_dir", None, "A new directory for everything of this run (default: runs/DATE_TIME)."
)
cli.define_config_flags()
flags.adopt_module_key_flags(cli)  # so that --help shows them


def main() -> None:
    """Trains what the flags say."""
    config = cli.config_from_flags()
    from cvae_tf import workflows  # here, because wrong flags need not wait for TensorFlow

    workflows.train(config, _RUN_DIR.value)


if __name__ == "__main__":
    cli.run(main)
