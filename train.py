"""Trains a model: settings -> a run directory with the SavedModel."""

from cvae_tf import cli

if __name__ == "__main__":
    cli.run("train")
