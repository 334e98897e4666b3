"""Writes a page to look at: a run, or its SavedModel -> one HTML file."""

from cvae_tf import cli

if __name__ == "__main__":
    cli.run("report")
