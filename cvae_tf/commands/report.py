"""Writes a page to look at: a run, or its SavedModel -> one HTML file."""

from absl import flags

from cvae_tf import cli
from cvae_tf.training.run_files import LATEST, RUNS


def define_flags() -> None:
    """Makes the flags of this command."""
    cli.define_model_flags("The run to show")
    flags.DEFINE_multi_string("compare", [], "Another run beside it; may be given several times.")
    flags.DEFINE_string(
        "output", None, "The .html file (default: report.html in the run, or in this folder)."
    )


def main() -> None:
    """Writes the page of what the flags name."""
    given = flags.FLAGS
    with cli.quiet_import():
        from cvae_tf import workflows
    model = given.saved_model or given.run_dir or str(RUNS / LATEST)
    workflows.report(model, given.output, compare=given.compare)
