"""Evaluates a model: run directory or SavedModel -> a table of numbers, JSON, pictures."""

from pathlib import Path

from absl import flags

from cvae_tf import cli
from cvae_tf.core.errors import UserError
from cvae_tf.generation.settings import EvaluationRequest

_RUN_DIR = flags.DEFINE_string("run_dir", None, "The run to evaluate (default: runs/latest).")
_SAVED_MODEL = flags.DEFINE_string("saved_model", None, "An exported model, instead of a run.")
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "A .json file, others beside it (default: evaluation.json in the run, or in this folder).",
)
cli.define_flags(EvaluationRequest)
flags.adopt_module_key_flags(cli)  # so that --help shows them


def main() -> None:
    """Evaluates what the flags name."""
    request = EvaluationRequest(**cli.settings_from_flags(EvaluationRequest))
    if _RUN_DIR.value and _SAVED_MODEL.value:
        raise UserError("--run_dir and --saved_model: give one of the two.")
    if _OUTPUT.value and not _OUTPUT.value.endswith(".json"):
        raise UserError(f"--output={_OUTPUT.value}: must end in .json.")
    with cli.quiet_tensorflow():
        from cvae_tf.core import files, threads
        from cvae_tf.evaluation import evaluated_model, report
    threads.set_threads(0)
    if _SAVED_MODEL.value:
        model, home = evaluated_model.from_saved_model(_SAVED_MODEL.value), Path()
    else:
        home = Path(_RUN_DIR.value or "runs/latest")
        model = evaluated_model.from_run(str(home))
    output = Path(_OUTPUT.value or home / "evaluation.json")
    if output.is_dir():
        raise UserError(f"--output={output}: is a directory.")
    files.make_directory(output.parent)  # rather than fail after minutes of work
    found = report.evaluate(model, request)
    print(report.as_table(found))
    for path in report.write(found, output):
        print(f"written: {path}")


if __name__ == "__main__":
    cli.run(main)
