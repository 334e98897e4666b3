"""Makes pictures and latents with a model: a run, or its SavedModel -> files.

Which mode looks at which flags stands in registry.MODES.
"""

from absl import flags

from cvae_tf import cli
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.registry import MODES


def define_flags() -> None:
    """Makes the flags of this command."""
    flags.DEFINE_string("mode", "samples", f"What to make. {MODES.summary}.")
    cli.define_model_flags("The run whose exported model is used")
    flags.DEFINE_string("output", "generated", "A directory for what is made.")
    cli.define_flags(GenerationSettings)


def main() -> None:
    """Makes what the flags say, and names the files."""
    given = flags.FLAGS
    settings = cli.settings_from_flags(GenerationSettings)
    GenerationSettings.create(given.mode, **settings)  # before TensorFlow takes its time
    with cli.quiet_import():
        from cvae_tf import workflows
    workflows.generate(cli.model_from_flags(), given.mode, given.output, **settings)
