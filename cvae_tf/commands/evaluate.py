"""Evaluates a model: a run, or its SavedModel -> a table of numbers, JSON, pictures."""

from absl import flags

from cvae_tf import cli
from cvae_tf.evaluation.settings import EvaluationSettings, check_output_name
from cvae_tf.training.run_files import EVALUATION


def define_flags() -> None:
    """Makes the flags of this command."""
    cli.define_model_flags("The run to evaluate")
    flags.DEFINE_string(
        "output",
        None,
        "A .json file, others beside it (default: evaluation.json in the run, or in this folder).",
    )
    cli.define_flags(EvaluationSettings)


def main() -> None:
    """Evaluates what the flags name."""
    given = flags.FLAGS
    settings = cli.settings_from_flags(EvaluationSettings)
    EvaluationSettings(**settings)  # before TensorFlow takes its time
    output = given.output or (EVALUATION if given.saved_model else None)
    if output:
        check_output_name(output)
    with cli.quiet_import():
        from cvae_tf import workflows
    workflows.evaluate(cli.model_from_flags(), output, **settings)
