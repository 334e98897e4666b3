"""Exports a run again: run directory -> SavedModel and GIF, or other formats."""

from absl import flags

from cvae_tf import cli
from cvae_tf.config import FORMATS

_RUN_DIR = flags.DEFINE_string("run_dir", "runs/latest", "The run to export.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "A directory for what is written (default: its place in the run)."
)
_FORMAT = flags.DEFINE_enum(
    "format", "saved_model", FORMATS, "saved_model (with the GIF), or for another runtime."
)


def main() -> None:
    """Exports the run that the flags name, from its newest checkpoint."""
    with cli.quiet_tensorflow():
        from cvae_tf.exporting import export_run
    written = export_run.export_from_checkpoint(_RUN_DIR.value, _OUTPUT.value, _FORMAT.value)
    print(f"Exported to {written}.")
    if _FORMAT.value == "saved_model":
        print(f"See what it can do:\n  saved_model_cli show --dir {written} --all")


if __name__ == "__main__":
    cli.run(main)
