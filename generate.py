"""Makes pictures and latents with a model: a run, or its SavedModel -> files."""

from cvae_tf import cli

if __name__ == "__main__":
    cli.run("generate")
