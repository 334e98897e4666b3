"""Makes pictures and latents with an exported model: SavedModel -> files."""

from absl import flags

from cvae_tf import cli
from cvae_tf.generation.settings import SETTINGS_BY_MODE, Request

_MODE = flags.DEFINE_enum("mode", "samples", list(SETTINGS_BY_MODE), "What to make.")
_SAVED_MODEL = flags.DEFINE_string(
    "saved_model", "runs/latest/export/1", "The exported model, or its run directory."
)
_OUTPUT = flags.DEFINE_string("output", "generated", "A directory for what is made.")
cli.define_flags(Request)
flags.adopt_module_key_flags(cli)  # so that --help shows them


def main() -> None:
    """Makes what the flags say, and names the files."""
    request = Request.create(_MODE.value, **cli.settings_from_flags(Request))
    with cli.quiet_tensorflow():
        from cvae_tf.exporting import loaded_model
        from cvae_tf.generation import modes
    model = loaded_model.load(_SAVED_MODEL.value)
    written = modes.generate(model, _MODE.value, request, _OUTPUT.value)
    for path in written if len(written) < 5 else [f"{len(written)} files to {_OUTPUT.value}"]:
        print(f"written: {path}")


if __name__ == "__main__":
    cli.run(main)
