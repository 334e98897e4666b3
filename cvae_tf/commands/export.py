"""Exports a run again: run directory -> SavedModel and GIF, or other formats."""

from absl import flags

from cvae_tf import cli
from cvae_tf.registry import FORMATS
from cvae_tf.training.run_files import LATEST, RUNS


def define_flags() -> None:
    """Makes the flags of this command."""
    flags.DEFINE_string("run_dir", str(RUNS / LATEST), "The run to export.")
    flags.DEFINE_string(
        "output", None, "A directory for what is written (default: its place in the run)."
    )
    flags.DEFINE_enum(
        "format",
        "saved_model",
        list(FORMATS),
        "saved_model (with the GIF), or for another runtime.",
    )


def main() -> None:
    """Exports the run that the flags name, from its newest checkpoint."""
    given = flags.FLAGS
    with cli.quiet_import():
        from cvae_tf import workflows
    workflows.export(given.run_dir, given.output, given.format)
