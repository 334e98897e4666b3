"""Evaluates a model: a run, or its SavedModel -> a table of numbers, JSON, pictures."""

from cvae_tf import cli

if __name__ == "__main__":
    cli.run("evaluate")
