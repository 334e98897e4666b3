"""Exports a run again: run directory -> SavedModel and GIF, from the newest checkpoint."""

from absl import flags

from cvae_tf import cli

_RUN_DIR = flags.DEFINE_string("run_dir", "runs/latest", "The run to export.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "A directory for SavedModel and GIF (default: their places in the run)."
)


def main() -> None:
    """Exports the run that the flags name."""
    saved_model = cli.load_workflows().export_from_checkpoint(_RUN_DIR.value, _OUTPUT.value)
    print(f"Exported. See what it can do:\n  saved_model_cli show --dir {saved_model} --all")


if __name__ == "__main__":
    cli.run(main)
